/* SPDX-License-Identifier: Apache-2.0 */
#include "nft.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "fd.h"
#include "netlink.h"

extern char **environ;

/* Elements in one batch: what fits NL_BUFFER_SIZE at about 120 bytes each. */
#define ELEMENTS_PER_BATCH 64

static int feed(pid_t pid, int in, int out, const char *script, struct err *err)
{
	/* nft reads the whole script before it says anything. */
	int r = fd_write_all(in, script, strlen(script));
	close(in);
	CLEANUP_BUF struct buf said = BUF_INIT(4096);
	int drained = fd_read_all(out, &said);
	close(out);
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, ERR_SYSTEM, errno, "wait for nft");
	if (r < 0 && r != -EPIPE)
		return err_set(err, ERR_SYSTEM, r, "write to nft");
	if (drained < 0 && drained != -E2BIG)
		return err_set(err, ERR_SYSTEM, drained, "read from nft");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	char *line = said.data ? strchrnul(said.data, '\n') : NULL;
	if (line)
		*line = '\0';
	return err_set(err, ERR_SYSTEM, 0, "nft refused the firewall rules: %s", buf_str(&said));
}

int nft_run(const char *script, struct err *err)
{
	int in[2], out[2];
	posix_spawn_file_actions_t actions;
	char *argv[] = { (char[]){ "nft" }, (char[]){ "-f" }, (char[]){ "-" }, NULL };
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, errno, "pipe");
	if (pipe2(out, O_CLOEXEC) < 0) {
		int saved = errno;
		close(in[0]);
		close(in[1]);
		return err_set(err, ERR_SYSTEM, saved, "pipe");
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, out[1], 2);
	int r = posix_spawn(&pid, "/usr/sbin/nft", &actions, NULL, argv, environ);
	if (r == ENOENT)
		r = posix_spawnp(&pid, "nft", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	if (r != 0) {
		close(in[1]);
		close(out[0]);
		int ret = err_set(err, ERR_UNSUPPORTED, r, "start nft");
		err_why(err, "hull's networks need the nftables package");
		err_hint(err, "apt-get install nftables");
		return ret;
	}
	return feed(pid, in[1], out[0], script, err);
}

static void *nft_message(struct nl_batch *b, int type, uint16_t flags, bool ack)
{
	struct nfgenmsg *g = (ack ? nl_message : nl_message_no_ack)(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
								    sizeof(*g));
	g->nfgen_family = NFPROTO_INET;
	g->version = NFNETLINK_V0;
	return g;
}

static int any_table(const struct nlmsghdr *h, void *arg)
{
	(void)h;
	*(bool *)arg = true;
	return 1;
}

int nft_has_table(int sock, const char *name)
{
	struct nl_batch b;
	bool found = false;
	nl_init(&b);
	nft_message(&b, NFT_MSG_GETTABLE, 0, false);
	nl_attr_str(&b, NFTA_TABLE_NAME, name);
	int r = nl_query(sock, &b, any_table, &found);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : found;
}

static void batch_mark(struct nl_batch *b, uint16_t type)
{
	struct nfgenmsg *g = nl_message_no_ack(b, type, 0, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	g->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

static void put_value(struct nl_batch *b, uint16_t type, const uint8_t *value, size_t len)
{
	size_t nest = nl_nest(b, type, 0);
	nl_attr(b, NFTA_DATA_VALUE, value, len);
	nl_nest_end(b, nest);
}

static void put_element(struct nl_batch *b, const char *table, const struct nft_element *e, bool add)
{
	nft_message(b, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0, true);
	nl_attr_str(b, NFTA_SET_ELEM_LIST_TABLE, table);
	nl_attr_str(b, NFTA_SET_ELEM_LIST_SET, e->set);
	size_t list = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS, 0);
	size_t element = nl_nest(b, NFTA_LIST_ELEM, 0);
	put_value(b, NFTA_SET_ELEM_KEY, e->key, e->key_len);
	if (e->data_len && add)
		put_value(b, NFTA_SET_ELEM_DATA, e->data, e->data_len);
	nl_nest_end(b, element);
	nl_nest_end(b, list);
}

int nft_change_elements(int sock, const char *table, const struct nft_element *elements, size_t n, bool add)
{
	while (n) {
		struct nl_batch b;
		size_t count = n < ELEMENTS_PER_BATCH ? n : ELEMENTS_PER_BATCH;
		nl_init(&b);
		batch_mark(&b, NFNL_MSG_BATCH_BEGIN);
		for (size_t i = 0; i < count; i++)
			put_element(&b, table, &elements[i], add);
		batch_mark(&b, NFNL_MSG_BATCH_END);
		int r = nl_talk(sock, &b, NULL);
		if (r < 0)
			return r;
		elements += count;
		n -= count;
	}
	return 0;
}
