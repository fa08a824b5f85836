/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "buf.h"
#include "test.h"

static struct runtime_spec *parse(const char *text)
{
	struct runtime_spec *s = NULL;
	struct err err = ERR_INIT;
	if (runtime_spec_parse(text, strlen(text), &s, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	return s;
}

static const char full[] =
	"{\"ociVersion\":\"1.2.0\",\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80},"
	"\"user\":{\"uid\":1000,\"gid\":100,\"umask\":18,\"additionalGids\":[1,2]},\"args\":[\"sh\",\"-c\",\"true\"],"
	"\"env\":[\"A=b\"],\"cwd\":\"/w\",\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_CHECKPOINT_RESTORE\"],"
	"\"effective\":[\"CAP_CHOWN\"],\"inheritable\":[],\"permitted\":[\"CAP_CHOWN\"],\"ambient\":[]},"
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":10,\"hard\":20}],\"noNewPrivileges\":true,\"oomScoreAdj\":-5},"
	"\"root\":{\"path\":\"/r\",\"readonly\":true},\"hostname\":\"h\",\"domainname\":\"d\","
	"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\"]}],"
	"\"annotations\":{\"k\":\"v\"},\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/n\"}],"
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":268435456,\"size\":65536}],"
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":268435456,\"size\":65536}],\"cgroupsPath\":\"hull/x\","
	"\"resources\":{\"memory\":{\"limit\":1048576,\"swap\":-1,\"swappiness\":0},\"cpu\":{\"shares\":512,\"quota\":1000,"
	"\"period\":2000,\"cpus\":\"0-1\"},\"pids\":{\"limit\":7},\"blockIO\":{\"weight\":100,"
	"\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":5}]},"
	"\"devices\":[{\"allow\":false,\"type\":\"a\",\"access\":\"rwm\"},{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,"
	"\"access\":\"rw\"}]},\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":438,\"uid\":0,"
	"\"gid\":0}],\"sysctl\":{\"net.a\":\"1\"},\"maskedPaths\":[\"/m\"],\"readonlyPaths\":[\"/ro\"],"
	"\"rootfsPropagation\":\"rslave\"},\"hull\":{\"layers\":[\"/l1\",\"/l2\"],\"upper\":\"/u\",\"work\":\"/wk\","
	"\"seccompBpf\":\"/s.bpf\",\"init\":\"/i\",\"interfaces\":[{\"network\":\"n\",\"name\":\"eth0\",\"bridge\":\"b0\","
	"\"hostName\":\"v0\",\"mac\":\"02:42:00:00:00:02\",\"address4\":\"10.0.0.2/24\",\"gateway4\":\"10.0.0.1\",\"mtu\":1400}],"
	"\"ports\":[{\"protocol\":\"tcp\",\"hostIp\":\"127.0.0.1\",\"hostPort\":80,\"containerPort\":8080,"
	"\"containerIp\":\"10.0.0.2\"}],\"guest\":{\"kernel\":\"/k\",\"initramfs\":\"/ir\",\"supervisor\":\"/hg\",\"runDir\":\"/r/w\","
	"\"layerFiles\":[\"/l.erofs\"],\"memory\":536870912,\"cpus\":1,\"cpusMax\":4,\"dax\":true}}}";

TEST(write_then_parse_loses_nothing)
{
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = parse(full);
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	CHECK_EQ(runtime_spec_write(s, &out), 0);
	CHECK_STR(buf_str(&out), full);
}

TEST(values_arrive)
{
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = parse(full);
	CHECK_EQ(s->process.user.uid, 1000);
	CHECK_EQ(s->process.caps.bounding, 1 | 1ULL << 40);
	CHECK_EQ(s->process.rlimits[0].resource, RLIMIT_NOFILE);
	CHECK_EQ(s->resources.memory_swap_bytes, -1);
	CHECK_EQ(s->resources.devices[0].major, -1);
	CHECK(s->ns[SPEC_NS_PID].wanted && !s->ns[SPEC_NS_PID].path);
	CHECK_STR(s->ns[SPEC_NS_NET].path, "/n");
	CHECK(!s->ns[SPEC_NS_USER].wanted);
	CHECK_STR(s->sysctls.v[0], "net.a=1");
	CHECK_EQ(s->ports[0].container_port, 8080);
	CHECK_EQ(s->guest.memory_bytes, 512u << 20);
	CHECK_STR(s->guest.layer_files.v[0], "/l.erofs");
}

/* A range of half of all ports, for IPv4 and IPv6. */
TEST(thousands_of_ports)
{
	struct runtime_spec s = { .ports_n = 65536 };
	CLEANUP_RUNTIME_SPEC struct runtime_spec *back = NULL;
	CLEANUP_BUF struct buf out = BUF_INIT(16 << 20);
	struct err err = ERR_INIT;
	strv_add(&s.process.args, "x");
	s.ports = mem_calloc(s.ports_n, sizeof(*s.ports));
	for (size_t i = 0; i < s.ports_n; i++) {
		s.ports[i].host_port = s.ports[i].container_port = (uint16_t)(32768 + i / 2);
		snprintf(s.ports[i].protocol, sizeof(s.ports[i].protocol), "tcp");
	}
	CHECK_EQ(runtime_spec_write(&s, &out), 0);
	CHECK_EQ(runtime_spec_parse(out.data, out.len, &back, &err), 0);
	CHECK_EQ(back->ports_n, 65536);
	CHECK_EQ(back->ports[65535].host_port, 65535);
	free(s.ports);
	strv_free(&s.process.args);
}

TEST(an_infinite_limit_survives)
{
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = runtime_spec_new();
	strv_add(&s->process.args, "true");
	s->process.rlimits = mem_calloc(1, sizeof(*s->process.rlimits));
	s->process.rlimits_n = 1;
	s->process.rlimits[0] = (struct spec_rlimit){ RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY };
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	CHECK_EQ(runtime_spec_write(s, &out), 0);
	CLEANUP_RUNTIME_SPEC struct runtime_spec *back = parse(buf_str(&out));
	CHECK(back->process.rlimits[0].hard == RLIM_INFINITY);
}

TEST(bad_documents_are_refused)
{
	static const char *const bad[] = {
		"[]",
		"{\"process\":{\"args\":[]}}",
		"{\"process\":{\"args\":[1]}}",
		"{\"process\":{\"args\":[\"x\"],\"user\":{\"uid\":-1}}}",
		"{\"process\":{\"args\":[\"x\"],\"user\":{\"uid\":4294967296}}}",
		"{\"process\":{\"args\":[\"x\"],\"capabilities\":{\"bounding\":[\"CAP_NOPE\"]}}}",
		"{\"process\":{\"args\":[\"x\"]},\"mounts\":[{\"destination\":\"relative\"}]}",
		"{\"process\":{\"args\":[\"x\"]},\"mounts\":{}}",
		"{\"process\":{\"args\":[\"x\"]},\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]}}",
		"{\"process\":{\"args\":[\"x\"]},\"linux\":{\"namespaces\":[{\"type\":\"nope\"}]}}",
		"{\"process\":{\"args\":[\"x\"]},\"hull\":{\"ports\":[{\"hostPort\":70000,\"containerPort\":1}]}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct runtime_spec *s = NULL;
		struct err err = ERR_INIT;
		if (runtime_spec_parse(bad[i], strlen(bad[i]), &s, &err) == 0)
			test_fail(__FILE__, __LINE__, "accepted: %s", bad[i]);
		CHECK(err_is_set(&err));
	}
}

TEST(names_of_capabilities)
{
	CHECK_EQ(spec_capability_number("net_admin"), 12);
	CHECK_EQ(spec_capability_number("CAP_NET_ADMIN"), 12);
	CHECK_EQ(spec_capability_number("nope"), -1);
	CHECK_STR(spec_capability_name(40), "CAP_CHECKPOINT_RESTORE");
	CHECK(spec_capability_name(41) == NULL);
	CHECK_EQ(spec_rlimit_number("RLIMIT_NOFILE"), RLIMIT_NOFILE);
}

TEST_MAIN()
