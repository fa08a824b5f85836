/* SPDX-License-Identifier: Apache-2.0 */
#include "process_table.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"

struct stat_fields {
	char state;
	int ppid, tty;
	unsigned long long utime, stime, start_ticks;
};

static int read_stat(int dir, struct stat_fields *ret)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4096);
	int r = fd_read_file_at(dir, "stat", &text);
	/* The name may hold anything, parentheses too. */
	const char *after = r < 0 ? NULL : strrchr(buf_str(&text), ')');
	if (!after || sscanf(after + 1, " %c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu", &ret->state,
			     &ret->ppid, &ret->tty, &ret->utime, &ret->stime, &ret->start_ticks) != 6)
		return r < 0 ? r : -EINVAL;
	return 0;
}

/* The command line, or [name]; control characters do not reach the terminal. */
static char *read_command(int dir)
{
	CLEANUP_BUF struct buf text = BUF_INIT(131072);
	if (fd_read_file_at(dir, "cmdline", &text) == 0 && text.len) {
		for (size_t i = 0; i < text.len; i++)
			if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
				text.data[i] = i + 1 == text.len ? '\0' : ' ';
		return str_dup(buf_str(&text));
	}
	buf_clear(&text);
	if (fd_read_file_at(dir, "comm", &text) < 0)
		return str_dup("?");
	return str_printf("[%.*s]", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
}

/* How long ago a process started. */
static int64_t age_ns(unsigned long long start_ticks)
{
	int64_t since_boot_ns = (int64_t)start_ticks * (1000000000 / sysconf(_SC_CLK_TCK));
	struct timespec boot;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return boot.tv_sec * INT64_C(1000000000) + boot.tv_nsec - since_boot_ns;
}

/* ps's "C": processor time over the life so far, at most 99. */
static unsigned busy_percent(const struct stat_fields *f)
{
	int64_t age = age_ns(f->start_ticks), busy = (int64_t)(f->utime + f->stime) * (1000000000 / sysconf(_SC_CLK_TCK));
	int64_t percent = age > 0 ? busy / (age / 100 + 1) : 0;
	return percent > 99 ? 99 : (unsigned)percent;
}

static char *start_text(unsigned long long ticks)
{
	char out[16];
	struct tm tm;
	int64_t ago_ns = age_ns(ticks);
	time_t start = (time_t)((clock_wall_ns() - ago_ns) / 1000000000);
	localtime_r(&start, &tm);
	strftime(out, sizeof(out), ago_ns < INT64_C(86400) * 1000000000 ? "%H:%M" : "%b%d", &tm);
	return str_dup(out);
}

static char *tty_text(int tty)
{
	unsigned n = (unsigned)major((dev_t)tty);
	return n == 136 ? str_printf("pts/%u", (unsigned)minor((dev_t)tty)) : str_dup("?");
}

static unsigned inner_id(const struct process_ids *ids, uid_t id)
{
	return ids->size && id >= ids->first && id - ids->first < ids->size ? id - ids->first : id;
}

void process_describe(pid_t pid, const struct process_ids *ids, struct strv *ret)
{
	char path[32];
	struct stat st;
	struct stat_fields f;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	CLEANUP_FD int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* Gone meanwhile. */
	if (dir < 0 || fstat(dir, &st) < 0 || read_stat(dir, &f) < 0)
		return;
	CLEANUP_FREE char *command = read_command(dir), *start = start_text(f.start_ticks), *tty = tty_text(f.tty);
	unsigned long long seconds = (f.utime + f.stime) / (unsigned long long)sysconf(_SC_CLK_TCK);
	strv_printf(ret, "%u", inner_id(ids, st.st_uid));
	strv_printf(ret, "%d", pid);
	strv_printf(ret, "%d", f.ppid);
	strv_printf(ret, "%u", busy_percent(&f));
	strv_add(ret, start);
	strv_add(ret, tty);
	strv_printf(ret, "%02llu:%02llu:%02llu", seconds / 3600, seconds / 60 % 60, seconds % 60);
	strv_add(ret, command);
}
