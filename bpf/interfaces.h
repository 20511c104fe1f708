/* SPDX-License-Identifier: MIT */
/* Which packets count at netfilter hooks, by their interfaces: what the rules of a managed NFLOG meter let through. */
#ifndef NETLEDGER_INTERFACES_H
#define NETLEDGER_INTERFACES_H

/* Names are compared packet by packet, so that an interface that is new or renamed needs nobody's help. */
struct name {
	__u64 word[2];
};

/* Of no device the name is empty: such reads give 0. */
static __always_inline struct name name_of(const struct net_device *device)
{
	const __u64 *words = (const __u64 *)device->name;
	struct name name = {{words[0], words[1]}};

	return name;
}

static __always_inline int is_loopback(const struct name *name)
{
	return (name->word[0] & 0xffffff) == ('l' | 'o' << 8);
}

#define FITS(name, patterns, count)                                                                                  \
	({                                                                                                           \
		int fits = 0;                                                                                        \
                                                                                                                     \
		for (int i = 0; i < PATTERNS_MAX && i < (count); i++)                                                \
			if (((name).word[0] & (patterns)[i].mask[0]) == (patterns)[i].word[0] &&                     \
			    ((name).word[1] & (patterns)[i].mask[1]) == (patterns)[i].word[1]) {                     \
				fits = 1;                                                                            \
				break;                                                                               \
			}                                                                                            \
		fits;                                                                                                \
	})
#define IS_SELECTED(name) FITS(name, settings.interfaces, settings.interfaces_count)
#define IS_EXCLUDED(name) FITS(name, settings.interfaces_excluded, settings.interfaces_excluded_count)

static __always_inline int is_asked_for(const struct nf_hook_state *state, const struct sk_buff *skb)
{
	const __u8 hook = state->hook;
	struct name name;

	if (hook == NF_INET_LOCAL_IN) {
		name = name_of(state->in);
		/* What leaves by loopback comes in by it, and was met at the output hook; and so were packets to many receivers
		 * that the kernel hands back to those on this machine. */
		if (is_loopback(&name) || BPF_CORE_READ_BITFIELD(skb, pkt_type) == PACKET_LOOPBACK)
			return 0;
		if (settings.interfaces_limited && !IS_SELECTED(name))
			return 0;
	} else {
		name = name_of(state->out);
		if (hook == NF_INET_LOCAL_OUT && is_loopback(&name)) {
			if (!settings.loopback)
				return 0;
		} else if (settings.interfaces_limited && !IS_SELECTED(name)) {
			struct name in;

			if (hook == NF_INET_LOCAL_OUT)
				return 0;
			in = name_of(state->in);
			if (!IS_SELECTED(in))
				return 0;
		}
		if (settings.interfaces_excluded_count && hook != NF_INET_LOCAL_OUT) {
			struct name in = name_of(state->in);

			if (IS_EXCLUDED(in))
				return 0;
		}
	}
	return !settings.interfaces_excluded_count || !IS_EXCLUDED(name);
}

#endif
