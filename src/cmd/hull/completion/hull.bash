# bash completion for hull. SPDX-License-Identifier: Apache-2.0
# Installed as completions/hull; or: source <(hull completion bash)

_hull() {
	local rest=$COMP_LINE word= cut candidate directive=
	local -a words=()
	local i

	# bash cuts words at '=' and ':'; put together again what no blank divides.
	for ((i = 0; i <= COMP_CWORD; i++)); do
		[[ $word ]] || rest=${rest#"${rest%%[![:space:]]*}"}
		word+=${COMP_WORDS[i]}
		rest=${rest#"${COMP_WORDS[i]}"}
		if ((i == COMP_CWORD)) || [[ $rest == [[:space:]]* ]]; then
			words+=("$word")
			word=
		fi
	done
	word=${words[-1]}
	# What readline leaves standing: up to the last break in the word.
	cut=
	if [[ $word == *[=:]* ]]; then
		cut=${word%"${word##*[=:]}"}
	fi

	COMPREPLY=()
	while IFS= read -r candidate; do
		case $candidate in
		:*) directive=${candidate#:} ;;
		*)
			candidate=${candidate%%$'\t'*}
			COMPREPLY+=("${candidate#"$cut"}")
			;;
		esac
	done < <("${words[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)

	word=${word#"$cut"}
	case $directive in
	nospace) compopt -o nospace 2>/dev/null ;;
	files | dirs)
		local kind=-f
		[[ $directive == files ]] || kind=-d
		((${#COMPREPLY[@]})) || compopt -o filenames 2>/dev/null
		while IFS= read -r candidate; do
			COMPREPLY+=("$candidate")
		done < <(compgen "$kind" -- "$word")
		;;
	esac
}

complete -F _hull hull
