#compdef hull
# zsh completion for hull. SPDX-License-Identifier: Apache-2.0
# Installed as site-functions/_hull; or: source <(hull completion zsh)

_hull() {
	local line directive=
	local -a values shown
	local -a typed=("${(@Q)words[2,CURRENT-1]}")

	while IFS= read -r line; do
		case $line in
		:*) directive=${line#:} ;;
		*)
			values+=("${line%%$'\t'*}")
			if [[ $line == *$'\t'* ]]; then
				shown+=("${line%%$'\t'*}  -- ${line#*$'\t'}")
			else
				shown+=("$line")
			fi
			;;
		esac
	done < <("${(Q)words[1]}" __complete "${typed[@]}" "${(Q)PREFIX}" 2>/dev/null)

	local -a suffix=()
	[[ $directive == nospace ]] && suffix=(-S '')
	(($#values)) && compadd -l "${suffix[@]}" -d shown -a values
	case $directive in
	files | dirs)
		[[ $PREFIX == --*=* ]] && compset -P '*='
		if [[ $directive == files ]]; then _files; else _files -/; fi
		;;
	esac
	return 0
}

if [[ $funcstack[1] == _hull ]]; then
	_hull "$@"
else
	compdef _hull hull
fi
