/* SPDX-License-Identifier: Apache-2.0 */
#include "container_stats.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "clock.h"
#include "fd.h"
#include "network_rate.h"

#define NET_DEV_MAX_BYTES (1u << 20)

/* /proc/PID/net/dev (proc(5)): a line a link, "name: bytes packets ... bytes ...". */
static void read_network(pid_t pid, struct container_sample *ret)
{
	char path[40], name[32];
	CLEANUP_BUF struct buf text = BUF_INIT(NET_DEV_MAX_BYTES);
	snprintf(path, sizeof(path), "/proc/%d/net/dev", pid);
	if (fd_read_file_at(AT_FDCWD, path, &text) < 0)
		return;
	for (const char *line = strchr(buf_str(&text), '\n'); line; line = strchr(line, '\n')) {
		uint64_t rx, tx;
		line++;
		if (sscanf(line, " %31[^:]: %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, name, &rx, &tx) != 3 || str_eq(name, "lo"))
			continue;
		ret->net_rx_bytes += rx;
		ret->net_tx_bytes += tx;
	}
}

int containers_sample(struct engine *engine, struct container *c, struct container_sample *ret, struct err *err)
{
	const struct isolation *back_end;
	struct isolation_handle handle = container_handle(c);
	*ret = (struct container_sample){ .mono_ns = clock_mono_ns() };
	if (!container_is_running(c))
		return err_set(err, ERR_CONFLICT, 0, "container %s is not running", c->id);
	int r = isolation_get(c->level, &back_end, err);
	if (r == 0)
		r = back_end->stats(&handle, &ret->stats, err);
	if (r == 0)
		r = container_load_config(c, err);
	if (r < 0)
		return r;
	if (!str_eq(c->config->network_mode, "host"))
		read_network(c->run.pid, ret);
	return network_rate_read(engine, c->id, &ret->net_rate, err);
}

double container_cpu_percent(const struct container_sample *before, const struct container_sample *now)
{
	int64_t wall = now->mono_ns - before->mono_ns;
	if (wall <= 0 || now->stats.cpu_usage_ns < before->stats.cpu_usage_ns)
		return 0;
	return 100.0 * (double)(now->stats.cpu_usage_ns - before->stats.cpu_usage_ns) / (double)wall;
}

uint64_t container_memory_limit(const struct container_sample *sample)
{
	struct sysinfo info;
	uint64_t machine = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX;
	return sample->stats.memory_limit_bytes < machine ? sample->stats.memory_limit_bytes : machine;
}
