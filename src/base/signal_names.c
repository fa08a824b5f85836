/* SPDX-License-Identifier: Apache-2.0 */
#include "signal_names.h"

#include <signal.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "str.h"

static const struct {
	const char *name;
	int signo;
} names[] = {
	{ "ABRT", SIGABRT },   { "ALRM", SIGALRM }, { "BUS", SIGBUS },   { "CHLD", SIGCHLD },     { "CONT", SIGCONT },
	{ "FPE", SIGFPE },     { "HUP", SIGHUP },   { "ILL", SIGILL },   { "INT", SIGINT },       { "IO", SIGIO },
	{ "KILL", SIGKILL },   { "PIPE", SIGPIPE }, { "PROF", SIGPROF }, { "PWR", SIGPWR },       { "QUIT", SIGQUIT },
	{ "SEGV", SIGSEGV },   { "STOP", SIGSTOP }, { "SYS", SIGSYS },   { "TERM", SIGTERM },     { "TRAP", SIGTRAP },
	{ "TSTP", SIGTSTP },   { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU }, { "URG", SIGURG },       { "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },   { "VTALRM", SIGVTALRM }, { "WINCH", SIGWINCH }, { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
	{ "POLL", SIGPOLL },   { "IOT", SIGIOT },
};

int signal_parse(const char *name, int *ret, struct err *err)
{
	const char *s = strncasecmp(name, "SIG", 3) == 0 ? name + 3 : name;
	uint64_t n = 0;
	if (str_parse_u64_max(name, 64, &n) == 0 && n > 0) {
		*ret = (int)n;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcasecmp(names[i].name, s) == 0) {
			*ret = names[i].signo;
			return 0;
		}
	}
	if (strncasecmp(s, "RTMIN", 5) == 0 && (!s[5] || (s[5] == '+' && str_parse_u64_max(s + 6, 30, &n) == 0))) {
		*ret = 34 + (int)n;
		return 0;
	}
	if (strncasecmp(s, "RTMAX", 5) == 0 && (!s[5] || (s[5] == '-' && str_parse_u64_max(s + 6, 30, &n) == 0))) {
		*ret = 64 - (int)n;
		return 0;
	}
	return err_set(err, ERR_INVALID, 0, "invalid signal: %s", name);
}

const char *signal_short_name(int signo)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].signo == signo)
			return names[i].name;
	return NULL;
}
