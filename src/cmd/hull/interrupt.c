/* SPDX-License-Identifier: Apache-2.0 */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile int interrupted;
static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
#define SIGNALS_N (sizeof(signals) / sizeof(signals[0]))

static void note(int signal)
{
	interrupted = signal;
}

const volatile int *interrupt_catch(void)
{
	/* Without SA_RESTART: a poll() must end. */
	struct sigaction action = { .sa_handler = note, .sa_flags = (int)SA_RESETHAND };
	for (size_t i = 0; i < SIGNALS_N; i++) {
		struct sigaction old;
		/* A nohup'd hull goes on. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
	return &interrupted;
}

void interrupt_release(void)
{
	for (size_t i = 0; i < SIGNALS_N; i++) {
		struct sigaction old;
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == note)
			signal(signals[i], SIG_DFL);
	}
}
