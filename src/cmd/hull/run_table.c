/* SPDX-License-Identifier: Apache-2.0 */
#include "run_flags.h"

#define AT(field) offsetof(struct run_opts, field)

static int set_entrypoint(void *opts, const char *value, struct err *err)
{
	((struct run_opts *)opts)->has_entrypoint = TRI_TRUE;
	return 0;
}

static int set_stop_timeout(void *opts, const char *value, struct err *err)
{
	((struct run_opts *)opts)->has_stop_timeout = TRI_TRUE;
	return 0;
}

static int set_pids_limit(void *opts, const char *value, struct err *err)
{
	((struct run_opts *)opts)->has_pids_limit = TRI_TRUE;
	return 0;
}

static int set_network(void *opts, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, ERR_INVALID, 0, "network name is empty");
	return 0;
}

const struct option run_flags_run[] = {
	{ "detach", 'd', OPT_BOOL, AT(detach), .help = "Run container in background and print container ID" },
	{ "detach-keys", 0, OPT_STR, AT(detach_keys), .help = "Override the key sequence for detaching a container" },
	{ "sig-proxy", 0, OPT_BOOL, AT(sig_proxy), .help = "Proxy received signals to the process", .initial = "true" },
	OPTIONS_END
};

const struct option run_flags_common[] = {
	{ "add-host", 0, OPT_LIST, AT(add_host), .help = "Add a custom host-to-IP mapping (host:ip)" },
	{ "annotation", 0, OPT_LIST, AT(annotation), .help = "Add an annotation to the container (passed through to the OCI runtime)" },
	{ "attach", 'a', OPT_LIST, AT(attach), .help = "Attach to STDIN, STDOUT or STDERR", .complete = COMPLETE_WORDS,
	  .words = "stdin stdout stderr" },
	{ "blkio-weight", 0, OPT_INT, AT(blkio_weight), .value = "uint16",
	  .help = "Block IO (relative weight), between 10 and 1000, or 0 to disable" },
	{ "blkio-weight-device", 0, OPT_LIST, AT(blkio_weight_device), .help = "Block IO weight (relative device weight)" },
	{ "cap-add", 0, OPT_LIST, AT(cap_add), .help = "Add Linux capabilities",
	  .complete = COMPLETE_CAPABILITY },
	{ "cap-drop", 0, OPT_LIST, AT(cap_drop), .help = "Drop Linux capabilities",
	  .complete = COMPLETE_CAPABILITY },
	{ "cgroup-parent", 0, OPT_STR, AT(cgroup_parent), .help = "Optional parent cgroup for the container" },
	{ "cgroupns", 0, OPT_STR, AT(cgroupns), .help = "Cgroup namespace to use (host|private)", .complete = COMPLETE_WORDS,
	  .words = "host private" },
	{ "cidfile", 0, OPT_STR, AT(cidfile), .help = "Write the container ID to the file", .complete = COMPLETE_FILE },
	{ "cpu-count", 0, OPT_INT, AT(cpu_count), .help = "CPU count (Windows only)", .flags = OPTION_HIDDEN },
	{ "cpu-percent", 0, OPT_INT, AT(cpu_percent), .help = "CPU percent (Windows only)", .flags = OPTION_HIDDEN },
	{ "cpu-period", 0, OPT_INT, AT(cpu_period), .help = "Limit CPU CFS (Completely Fair Scheduler) period" },
	{ "cpu-quota", 0, OPT_INT, AT(cpu_quota), .help = "Limit CPU CFS (Completely Fair Scheduler) quota" },
	{ "cpu-rt-period", 0, OPT_INT, AT(cpu_rt_period), .help = "Limit CPU real-time period in microseconds" },
	{ "cpu-rt-runtime", 0, OPT_INT, AT(cpu_rt_runtime), .help = "Limit CPU real-time runtime in microseconds" },
	{ "cpu-shares", 'c', OPT_INT, AT(cpu_shares), .help = "CPU shares (relative weight)" },
	{ "cpus", 0, OPT_STR, AT(cpus), .value = "decimal", .help = "Number of CPUs" },
	{ "cpuset-cpus", 0, OPT_STR, AT(cpuset_cpus), .help = "CPUs in which to allow execution (0-3, 0,1)" },
	{ "cpuset-mems", 0, OPT_STR, AT(cpuset_mems), .help = "MEMs in which to allow execution (0-3, 0,1)" },
	{ "device", 0, OPT_LIST, AT(device), .help = "Add a host device to the container", .complete = COMPLETE_FILE },
	{ "device-cgroup-rule", 0, OPT_LIST, AT(device_cgroup_rule), .help = "Add a rule to the cgroup allowed devices list" },
	{ "device-read-bps", 0, OPT_LIST, AT(device_read_bps), .help = "Limit read rate (bytes per second) from a device" },
	{ "device-read-iops", 0, OPT_LIST, AT(device_read_iops), .help = "Limit read rate (IO per second) from a device" },
	{ "device-write-bps", 0, OPT_LIST, AT(device_write_bps), .help = "Limit write rate (bytes per second) to a device" },
	{ "device-write-iops", 0, OPT_LIST, AT(device_write_iops), .help = "Limit write rate (IO per second) to a device" },
	{ "disable-content-trust", 0, OPT_BOOL, AT(content_trust), .help = "Skip image verification", .flags = OPTION_HIDDEN },
	{ "dns", 0, OPT_LIST, AT(dns), .help = "Set custom DNS servers" },
	{ "dns-opt", 0, OPT_LIST, AT(dns_option), .help = "Set DNS options", .flags = OPTION_HIDDEN },
	{ "dns-option", 0, OPT_LIST, AT(dns_option), .help = "Set DNS options" },
	{ "dns-search", 0, OPT_LIST, AT(dns_search), .help = "Set custom DNS search domains" },
	{ "domainname", 0, OPT_STR, AT(domainname), .help = "Container NIS domain name" },
	{ "egress", 0, OPT_LIST, AT(egress), .value = "host:port", .help = "Send out of its networks only what is allowed so: api.example.com:443, 192.0.2.0/24:5432/tcp",
	  .flags = OPTION_HULL },
	{ "entrypoint", 0, OPT_STR, AT(entrypoint), .help = "Overwrite the default ENTRYPOINT of the image", .set = set_entrypoint },
	{ "env", 'e', OPT_LIST, AT(env), .help = "Set environment variables" },
	{ "env-file", 0, OPT_LIST, AT(env_file), .help = "Read in a file of environment variables", .complete = COMPLETE_FILE },
	{ "expose", 0, OPT_LIST, AT(expose), .help = "Expose a port or a range of ports" },
	{ "gpus", 0, OPT_LIST, AT(gpus), .value = "gpu-request", .help = "GPU devices to add to the container (not available yet)",
	  .complete = COMPLETE_WORDS, .words = "all" },
	{ "group-add", 0, OPT_LIST, AT(group_add), .help = "Add additional groups to join" },
	{ "health-cmd", 0, OPT_STR, AT(health_cmd), .help = "Command to run to check health" },
	{ "health-interval", 0, OPT_DURATION, AT(health_interval_ns), .help = "Time between running the check (ms|s|m|h)" },
	{ "health-on-failure", 0, OPT_STR, AT(health_on_failure), .help = "What to do once unhealthy", .initial = "none",
	  .complete = COMPLETE_WORDS, .words = "none kill restart stop", .flags = OPTION_HULL },
	{ "health-retries", 0, OPT_INT, AT(health_retries), .help = "Consecutive failures needed to report unhealthy" },
	{ "health-start-interval", 0, OPT_DURATION, AT(health_start_interval_ns),
	  .help = "Time between running the check during the start period (ms|s|m|h)" },
	{ "health-start-period", 0, OPT_DURATION, AT(health_start_period_ns),
	  .help = "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)" },
	{ "health-timeout", 0, OPT_DURATION, AT(health_timeout_ns), .help = "Maximum time to allow one check to run (ms|s|m|h)" },
	{ "hostname", 'h', OPT_STR, AT(hostname), .help = "Container host name" },
	{ "init", 0, OPT_TRI, AT(init), .help = "Run an init inside the container that forwards signals and reaps processes" },
	{ "interactive", 'i', OPT_BOOL, AT(interactive), .help = "Keep STDIN open even if not attached" },
	{ "io-maxbandwidth", 0, OPT_SIZE, AT(io_maxbandwidth), .help = "Maximum IO bandwidth limit (Windows only)",
	  .flags = OPTION_HIDDEN },
	{ "io-maxiops", 0, OPT_INT, AT(io_maxiops), .help = "Maximum IOps limit (Windows only)", .flags = OPTION_HIDDEN },
	{ "ip", 0, OPT_STR, AT(ip), .help = "IPv4 address (e.g., 172.30.100.104)" },
	{ "ip6", 0, OPT_STR, AT(ip6), .help = "IPv6 address (e.g., 2001:db8::33)" },
	{ "ipc", 0, OPT_STR, AT(ipc), .help = "IPC mode to use",
	  .complete = COMPLETE_WORDS, .words = "none private shareable host container:" },
	{ "isolation", 'I', OPT_STR, AT(isolation), .value = "level", .help = "Isolation level of the container",
	  .complete = COMPLETE_LEVEL },
	{ "kernel-memory", 0, OPT_SIZE, AT(kernel_memory_bytes), .help = "Kernel memory limit (ignored)", .flags = OPTION_HIDDEN },
	{ "label", 'l', OPT_LIST, AT(label), .help = "Set meta data on a container" },
	{ "label-file", 0, OPT_LIST, AT(label_file), .help = "Read in a line delimited file of labels", .complete = COMPLETE_FILE },
	{ "link", 0, OPT_LIST, AT(link), .help = "Add link to another container", .complete = COMPLETE_CONTAINER },
	{ "link-local-ip", 0, OPT_LIST, AT(link_local_ip), .help = "Container IPv4/IPv6 link-local addresses" },
	{ "log-driver", 0, OPT_STR, AT(log_driver), .help = "Logging driver for the container", .complete = COMPLETE_WORDS,
	  .words = "json-file journald syslog none" },
	{ "log-opt", 0, OPT_LIST, AT(log_opt), .help = "Log driver options",
	  .complete = COMPLETE_WORDS, .words = "max-size= max-file= compress= labels= env= tag= syslog-address= syslog-facility= syslog-format=" },
	{ "mac-address", 0, OPT_STR, AT(mac_address), .help = "Container MAC address (e.g., 92:d0:c6:0a:29:33)" },
	{ "memory", 'm', OPT_SIZE, AT(memory_bytes), .help = "Memory limit" },
	{ "memory-reservation", 0, OPT_SIZE, AT(memory_reservation_bytes), .help = "Memory soft limit" },
	{ "memory-swap", 0, OPT_STR, AT(memory_swap), .value = "bytes",
	  .help = "Swap limit equal to memory plus swap: '-1' to enable unlimited swap" },
	{ "memory-swappiness", 0, OPT_INT, AT(memory_swappiness), .help = "Tune container memory swappiness (0 to 100)",
	  .initial = "-1" },
	{ "mount", 0, OPT_LIST, AT(mount), .value = "mount", .help = "Attach a filesystem mount to the container",
	  .complete = COMPLETE_PAIRS,
	  .words = "type=bind type=volume type=tmpfs source= target= readonly bind-propagation= tmpfs-size= tmpfs-mode= volume-nocopy" },
	{ "name", 0, OPT_STR, AT(name), .help = "Assign a name to the container" },
	{ "net", 0, OPT_LIST, AT(network), .value = "network", .help = "Connect a container to a network", .flags = OPTION_HIDDEN,
	  .complete = COMPLETE_NETWORK, .set = set_network },
	{ "net-alias", 0, OPT_LIST, AT(network_alias), .help = "Add network-scoped alias for the container", .flags = OPTION_HIDDEN },
	{ "network", 0, OPT_LIST, AT(network), .value = "network", .help = "Connect a container to a network",
	  .complete = COMPLETE_NETWORK, .set = set_network },
	{ "network-alias", 0, OPT_LIST, AT(network_alias), .help = "Add network-scoped alias for the container" },
	{ "network-rate", 0, OPT_STR, AT(network_rate), .value = "rate", .help = "Limit what it sends and receives: 100mbit, or in=50mbit,out=10mbit",
	  .flags = OPTION_HULL },
	{ "no-healthcheck", 0, OPT_BOOL, AT(no_healthcheck), .help = "Disable any container-specified HEALTHCHECK" },
	{ "oom-kill-disable", 0, OPT_TRI, AT(oom_kill_disable), .help = "Disable OOM Killer" },
	{ "oom-score-adj", 0, OPT_INT, AT(oom_score_adj), .help = "Tune host's OOM preferences (-1000 to 1000)" },
	{ "pid", 0, OPT_STR, AT(pid), .help = "PID namespace to use",
	  .complete = COMPLETE_WORDS, .words = "host private container:" },
	{ "pids-limit", 0, OPT_INT, AT(pids_limit), .help = "Tune container pids limit (set -1 for unlimited)", .set = set_pids_limit },
	{ "platform", 0, OPT_STR, AT(platform), .help = "Set platform if server is multi-platform capable",
	  .complete = COMPLETE_WORDS, .words = "linux/amd64 linux/arm64" },
	{ "privileged", 0, OPT_BOOL, AT(privileged), .help = "Give extended privileges to this container" },
	{ "publish", 'p', OPT_LIST, AT(publish), .help = "Publish a container's port(s) to the host" },
	{ "publish-all", 'P', OPT_BOOL, AT(publish_all), .help = "Publish all exposed ports to random ports" },
	{ "pull", 0, OPT_STR, AT(pull), .help = "Pull image before running (always, missing, never)", .initial = "missing",
	  .complete = COMPLETE_WORDS, .words = "always missing never" },
	{ "quiet", 'q', OPT_BOOL, AT(quiet), .help = "Suppress the pull output" },
	{ "read-only", 0, OPT_BOOL, AT(read_only), .help = "Mount the container's root filesystem as read only" },
	{ "restart", 0, OPT_STR, AT(restart), .help = "Restart policy to apply when a container exits", .initial = "no",
	  .complete = COMPLETE_WORDS, .words = "no always unless-stopped on-failure" },
	{ "rm", 0, OPT_BOOL, AT(rm), .help = "Automatically remove the container and its associated anonymous volumes when it exits" },
	{ "runtime", 0, OPT_STR, AT(runtime), .help = "Runtime to use for this container; another name for a level",
	  .complete = COMPLETE_WORDS, .words = "runc crun runsc kata" },
	{ "security-opt", 0, OPT_LIST, AT(security_opt), .help = "Security Options",
	  .complete = COMPLETE_WORDS, .words = "no-new-privileges seccomp= seccomp=unconfined apparmor= label=" },
	{ "shm-size", 0, OPT_SIZE, AT(shm_size_bytes), .help = "Size of /dev/shm" },
	{ "stop-signal", 0, OPT_STR, AT(stop_signal), .help = "Signal to stop the container",
	  .complete = COMPLETE_SIGNAL },
	{ "stop-timeout", 0, OPT_INT, AT(stop_timeout_s), .help = "Timeout (in seconds) to stop a container",
	  .set = set_stop_timeout },
	{ "storage-opt", 0, OPT_LIST, AT(storage_opt), .help = "Storage driver options for the container" },
	{ "sysctl", 0, OPT_LIST, AT(sysctl), .help = "Sysctl options" },
	{ "tmpfs", 0, OPT_LIST, AT(tmpfs), .help = "Mount a tmpfs directory",
	  .complete = COMPLETE_WORDS, .words = "/tmp /run" },
	{ "tty", 't', OPT_BOOL, AT(tty), .help = "Allocate a pseudo-TTY" },
	{ "ulimit", 0, OPT_LIST, AT(ulimit), .value = "ulimit", .help = "Ulimit options",
	  .complete = COMPLETE_WORDS,
	  .words = "core= cpu= data= fsize= memlock= msgqueue= nice= nofile= nproc= rss= rtprio= rttime= sigpending= stack=" },
	OPTION_REFUSE("use-api-socket", OPT_BOOL, "this version of hull serves no API, so there is no socket to give"),
	{ "user", 'u', OPT_STR, AT(user), .help = "Username or UID (format: <name|uid>[:<group|gid>])" },
	{ "userns", 0, OPT_STR, AT(userns), .help = "User namespace to use (empty: one of its own; host)", .complete = COMPLETE_WORDS,
	  .words = "host" },
	{ "uts", 0, OPT_STR, AT(uts), .help = "UTS namespace to use", .complete = COMPLETE_WORDS, .words = "host" },
	{ "volume", 'v', OPT_LIST, AT(volume), .help = "Bind mount a volume",
	  .complete = COMPLETE_VOLUME_MOUNT },
	{ "volume-driver", 0, OPT_STR, AT(volume_driver), .help = "Optional volume driver for the container" },
	{ "volumes-from", 0, OPT_LIST, AT(volumes_from), .help = "Mount volumes from the specified container(s)",
	  .complete = COMPLETE_CONTAINER },
	{ "workdir", 'w', OPT_STR, AT(workdir), .help = "Working directory inside the container" },
	OPTIONS_END
};

void run_flags_defaults(void *opts)
{
	struct run_opts *o = opts;

	o->sig_proxy = true;
	o->memory_swappiness = -1;
	o->pull = "missing";
}
