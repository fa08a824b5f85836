/* SPDX-License-Identifier: Apache-2.0 */
/* Vector registers stay each thread's own, whatever comes between: system calls,
 * other threads, page faults, signals whose handlers use them, fork. Run inside a
 * sandbox by test_sandbox.py; prints "kept" or what was lost. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 400

typedef struct {
	uint64_t v[16][2];
} __attribute__((aligned(16))) registers;

static volatile int lost, alarms;

static void fill(registers *r, uint64_t seed)
{
	for (int i = 0; i < 16; i++) {
		r->v[i][0] = seed * 0x9e3779b97f4a7c15ull + (uint64_t)i;
		r->v[i][1] = ~r->v[i][0];
	}
}

/* Load all sixteen, make the system call (with rdi 0), store all. */
static void across(const registers *in, registers *out, long nr)
{
	long ret;
#define LOAD(n) "movdqa " #n "*16(%[in]), %%xmm" #n "\n"
#define STORE(n) "movdqa %%xmm" #n ", " #n "*16(%[out])\n"
#define ALL(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
	__asm__ volatile(ALL(LOAD) "syscall\n" ALL(STORE)
			 : "=a"(ret)
			 : "a"(nr), "D"(0L), "S"(0L), [in] "r"(in), [out] "r"(out)
			 : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
			   "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/* The same with a store to a page that is not there yet between. */
static void across_fault(const registers *in, registers *out, char *page)
{
	__asm__ volatile(ALL(LOAD) "movb $1, (%[page])\n" ALL(STORE)
			 :
			 : [in] "r"(in), [out] "r"(out), [page] "r"(page)
			 : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
			   "xmm13", "xmm14", "xmm15");
}

static void check(const registers *in, const registers *out, const char *what)
{
	if (memcmp(in, out, sizeof(*in)) != 0 && !lost) {
		lost = 1;
		printf("lost: %s\n", what);
		fflush(stdout);
	}
}

static void on_alarm(int signo)
{
	registers mine, out;
	fill(&mine, 0xa1a1 + (unsigned)signo);
	across(&mine, &out, SYS_getppid);
	alarms++;
}

static void try_fork(const registers *in, registers *out)
{
	across(in, out, SYS_fork);
	check(in, out, "fork");
	/* Which of the two this is, only the process number tells. */
}

static void *work(void *arg)
{
	registers in, out;
	for (uint64_t i = 0; i < ROUNDS && !lost; i++) {
		fill(&in, i * THREADS + (uint64_t)(uintptr_t)arg);
		across(&in, &out, i % 3 ? SYS_getppid : SYS_sched_yield);
		check(&in, &out, "a system call");
		if (i % 8 == 0) {
			char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			across_fault(&in, &out, page);
			check(&in, &out, "a page fault");
			munmap(page, 4096);
		}
	}
	return NULL;
}

int main(void)
{
	const struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };
	pthread_t threads[THREADS];
	registers in, out;
	pid_t self = getpid();
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &often, NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)i) != 0)
			return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	while (!alarms)
		work((void *)99);
	setitimer(ITIMER_REAL, &never, NULL);
	for (uint64_t i = 0; i < 20; i++) {
		fill(&in, 7777 + i);
		try_fork(&in, &out);
		if (syscall(SYS_getpid) != self)
			_exit(lost);
		int status;
		if (wait(&status) < 0 || status != 0)
			lost = 1;
	}
	if (!lost)
		printf("kept\n");
	return lost;
}
