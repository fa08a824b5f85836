/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include "test.h"

static const char document[] =
	"{\"Name\":\"/web\",\"Id\":\"0123456789abcdef\",\"State\":{\"Running\":true,\"Pid\":42,\"ExitCode\":0},"
	"\"Mounts\":[{\"Source\":\"/a\",\"Destination\":\"/b\"},{\"Source\":\"/c\",\"Destination\":\"/d\"}],"
	"\"Config\":{\"Env\":[\"A=1\",\"B=2\"],\"Labels\":{\"com.example\":\"x\"},\"Empty\":[]},"
	"\"NetworkSettings\":{\"Networks\":{\"bridge\":{\"IPAddress\":\"172.17.0.2\"}},"
	"\"Ports\":{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"}]}}}";

static const struct {
	const char *template, *output;
} cases[] = {
	{ "{{.Name}}", "/web" },
	{ "{{ .State.Running }} {{.State.Pid}}", "true 42" },
	{ "{{json .State}}", "{\"Running\":true,\"Pid\":42,\"ExitCode\":0}" },
	{ "{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}", "/a:/b /c:/d " },
	{ "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}}{{end}}", "bridge=172.17.0.2" },
	{ "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "172.17.0.2" },
	{ "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080" },
	{ "{{index .Config.Labels \"com.example\"}}", "x" },
	{ "{{join .Config.Env \",\"}}", "A=1,B=2" },
	{ "{{if .State.Running}}up{{else}}down{{end}}", "up" },
	{ "{{if eq .State.ExitCode 1}}one{{else if eq .State.ExitCode 0}}zero{{else}}other{{end}}", "zero" },
	{ "{{if and .State.Running (not .Config.Empty)}}yes{{end}}", "yes" },
	{ "{{range .Config.Empty}}x{{else}}none{{end}}", "none" },
	{ "{{with .State}}{{.Pid}}{{end}}", "42" },
	{ "{{.Name | upper | printf \"%s!\"}}", "/WEB!" },
	{ "{{len .Mounts}}", "2" },
	{ "{{slice .Id 0 4}}", "0123" },
	{ "{{.State.Nope}}", "<no value>" },
	{ "a {{- /* x */ -}} b", "ab" },
	{ "{{.Name}}\\t{{.Id}}", "/web\t0123456789abcdef" },
	{ "{{println .Name}}", "/web\n" },
	{ "{{.Name}}{{println}}{{print}}x", "/web\nx" },
	{ "{{$x := .Name}}{{$x}}", "/web" },
	{ "{{.State}}", "map[ExitCode:0 Pid:42 Running:true]" },
	{ "{{range $k, $v := .State}}{{$k}} {{end}}", "ExitCode Pid Running " },
	{ "<{{pad .Name 1 2}}>", "< /web  >" },
	{ "{{printf \"%5d|%-3s|\" .State.Pid \"a\"}}", "   42|a  |" },
};

TEST(templates_seen_in_scripts)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP_FORMAT struct format *f = NULL;
		CLEANUP_JSON struct json *v = NULL;
		CLEANUP_BUF struct buf out = BUF_INIT(65536);
		struct err err = ERR_INIT;
		CHECK_EQ(json_parse(document, sizeof(document) - 1, "test", &v, &err), 0);
		if (format_parse(cases[i].template, &f, &err) < 0 || format_execute(f, v, &out, &err) < 0)
			test_fail(__FILE__, __LINE__, "%s: %s", cases[i].template, err.msg);
		if (strcmp(buf_str(&out), cases[i].output) != 0)
			test_fail(__FILE__, __LINE__, "%s gave \"%s\"", cases[i].template, buf_str(&out));
	}
}

TEST(bad_templates_are_refused)
{
	static const char *const bad[] = { "{{", "{{end}}", "{{if .A}}", "{{nofn .A}}", "{{.A", "{{}}", "{{\"a}}", "{{(.A}}", "{{.A) }}" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP_FORMAT struct format *f = NULL;
		CLEANUP_JSON struct json *v = NULL;
		CLEANUP_BUF struct buf out = BUF_INIT(65536);
		struct err err = ERR_INIT;
		CHECK_EQ(json_parse("{}", 2, "test", &v, &err), 0);
		if (format_parse(bad[i], &f, &err) == 0 && format_execute(f, v, &out, &err) == 0)
			test_fail(__FILE__, __LINE__, "%s was accepted", bad[i]);
		CHECK(err_is_set(&err));
	}
}

TEST_MAIN()
