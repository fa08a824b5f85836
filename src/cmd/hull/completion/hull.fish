# fish completion for hull. SPDX-License-Identifier: Apache-2.0
# Installed as vendor_completions.d/hull.fish; or: hull completion fish | source

function __hull_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	set -l directive
	for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
		if string match -q ':*' -- $line
			set directive $line
		else
			echo -- $line
		end
	end
	# An option's value after '=' is a path of its own.
	set -l before ''
	set -l path $current
	if string match -qr '^--[^=]+=' -- $current
		set before (string match -r '^--[^=]+=' -- $current)
		set path (string replace -r '^--[^=]+=' '' -- $current)
	end
	switch "$directive"
		case ':files'
			for found in (__fish_complete_path $path)
				echo -- $before$found
			end
		case ':dirs'
			for found in (__fish_complete_directories $path)
				echo -- $before$found
			end
	end
end

complete -c hull -e
complete -c hull -f -k -a '(__hull_complete)'
