/* SPDX-License-Identifier: Apache-2.0 */
#include "examples.h"

/* There are images busybox and debian, a running container web and a stopped one
 * old, and a registry on localhost:5000. */
static const struct {
	const char *verb, *text;
} examples[] = {
	{ "run", "# a command, its output, nothing left\n"
		 "hull run --rm debian cat /etc/os-release\n"
		 "# a shell\n"
		 "hull run --rm -it busybox\n"
		 "# in the background, with a port, a limit and a restart policy\n"
		 "hull run -d --name site -p 8081:80 --memory 64m --restart unless-stopped busybox httpd -f\n"
		 "# files of this machine, read-only\n"
		 "hull run --rm -v /etc:/host:ro busybox ls /host/hostname\n"
		 "# as little as possible\n"
		 "hull run --rm --read-only --network none --cap-drop ALL --user 1000 busybox id\n" },
	{ "create", "hull create --name job busybox true\nhull start -a job\n" },
	{ "exec", "hull exec web ps\nhull exec -it web sh\nhull exec -u 1000 -w /tmp -e KEY=value web env\n" },
	{ "start", "hull start old\nhull start -a old\n" },
	{ "stop", "hull stop web\nhull stop -t 1 web\n" },
	{ "restart", "hull restart -t 1 web\n" },
	{ "kill", "hull kill -s HUP web\nhull kill web\n" },
	{ "pause", "hull pause web\nhull unpause web\n" },
	{ "unpause", "hull pause web\nhull unpause web\n" },
	{ "rm", "hull rm old\nhull rm -f web\n" },
	{ "wait", "hull kill web\nhull wait web\n" },
	{ "rename", "hull rename old older\n" },
	{ "ps", "hull ps\nhull ps -a --filter status=exited\nhull ps --format '{{.Names}}: {{.Status}}'\nhull ps -q\n" },
	{ "inspect", "hull inspect web\nhull inspect --format '{{.State.Status}} {{.State.Pid}}' web\nhull inspect --type image busybox\n" },
	{ "port", "hull port web\nhull port web 80/tcp\n" },
	{ "logs", "hull logs web\nhull logs --tail 10 --timestamps web\nhull logs --since 10m web\n" },
	{ "pull", "hull pull localhost:5000/app:1\nhull pull -q localhost:5000/app:1\n" },
	{ "push", "hull tag busybox localhost:5000/app:1\nhull push localhost:5000/app:1\n" },
	{ "images", "hull images\nhull images --filter dangling=true\nhull images --format '{{.Repository}}:{{.Tag}} {{.Size}}'\n" },
	{ "image inspect", "hull image inspect busybox\nhull image inspect --format '{{.Config.Cmd}}' busybox\n" },
	{ "history", "hull history busybox\nhull history --no-trunc --format json busybox\n" },
	{ "tag", "hull tag busybox example.org/team/tool:1\n" },
	{ "rmi", "hull tag busybox extra\nhull rmi extra\n" },
	{ "save", "hull save -o images.tar busybox debian\n" },
	{ "load", "hull save -o image.tar busybox\nhull load -i image.tar\n" },
	{ "import", "tar -C /etc -cf files.tar hostname\nhull import files.tar files:1\n" },
	{ "image prune", "hull image prune -f\n" },
	{ "volume create", "hull volume create data\nhull run --rm -v data:/data busybox touch /data/file\n" },
	{ "volume export", "hull volume create data\nhull volume export -o data.tar data\n" },
	{ "volume import", "hull volume create data\nhull volume export data | hull volume import copy\n" },
	{ "volume inspect", "hull volume create data\nhull volume inspect data\n" },
	{ "volume ls", "hull volume ls\nhull volume ls -q --filter dangling=true\n" },
	{ "volume prune", "hull volume prune -f\n" },
	{ "volume rm", "hull volume create data\nhull volume rm data\n" },
	{ "network create", "hull network create app\nhull run -d --name db --network app busybox sleep 600\n"
			    "# addresses of one's choice, IPv6 too\n"
			    "hull network create --subnet 10.20.0.0/24 --subnet fd00:20::/64 lab\n"
			    "# no way out\n"
			    "hull network create --internal vault\n"
			    "# on the wire of a link of this host\n"
			    "hull network create -d macvlan -o parent=lan0 --subnet 192.0.2.0/24 --gateway 192.0.2.1 lan\n" },
	{ "network ls", "hull network ls\nhull network ls -q --filter type=custom\n" },
	{ "network inspect", "hull network inspect bridge\nhull network inspect -f '{{json .IPAM.Config}}' bridge\n" },
	{ "network connect", "hull network create app\nhull network connect app web\n" },
	{ "network disconnect", "hull network disconnect bridge web\n" },
	{ "network rm", "hull network create app\nhull network rm app\n" },
	{ "network prune", "hull network prune -f\n" },
	{ "cp", "hull cp web:/etc/passwd passwd\nhull cp passwd web:/tmp/\n" },
	{ "diff", "hull exec web touch /tmp/new\nhull diff web\n" },
	{ "commit", "hull exec web touch /tmp/new\nhull commit web changed:1\n" },
	{ "export", "hull export -o web.tar web\n" },
	{ "top", "hull top web\n" },
	{ "stats", "hull stats --no-stream\nhull stats --no-stream --format '{{.Name}} {{.MemUsage}}' web\n" },
	{ "update", "hull update --memory 128m --memory-swap 256m web\nhull update --restart always web\n" },
	{ "events", "hull events --since 10m --until 0s\n" },
	{ "info", "hull info\nhull info --format '{{.Containers}}'\n" },
	{ "version", "hull version\nhull version --format '{{.Client.Version}}'\n" },
	{ "system df", "hull system df\nhull system df -v\n" },
	{ "system prune", "hull system prune -f\n" },
	{ "doctor", "hull doctor\nhull doctor --format json\nhull doctor --format '{{range .levels}}{{.name}}={{.available}} {{end}}'\n" },
	{ "completion", "source <(hull completion bash)\nhull completion zsh\nhull completion fish\n" },
	{ "help", "hull help run\nhull help volume create\n" },
};

const char *verb_examples(const struct verb *verb)
{
	for (size_t i = 0; i < ARRAY_LEN(examples); i++)
		if (str_eq(examples[i].verb, verb->names[0]))
			return examples[i].text;
	return verb->examples;
}
