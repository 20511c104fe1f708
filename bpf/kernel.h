/* SPDX-License-Identifier: MIT */
/*
 * What is used of the kernel: the members that are read, found when the program is loaded (CO-RE), and functions that are in no
 * header of user space. All of it is there since 6.4.
 */
#ifndef NETLEDGER_KERNEL_H
#define NETLEDGER_KERNEL_H

#define NF_ACCEPT 1
#define TCX_NEXT (-1)
#define NFPROTO_IPV4 2
#define NFPROTO_IPV6 10
#define NF_INET_LOCAL_IN 1
#define NF_INET_LOCAL_OUT 3
#define PACKET_OTHERHOST 3
#define PACKET_LOOPBACK 5

struct net_device {
	char name[16];
	int ifindex;
} __attribute__((preserve_access_index));

struct sk_buff {
	unsigned int len, data_len;
	__u8 pkt_type : 3;
	__u16 network_header, mac_header;
	unsigned char *data;
} __attribute__((preserve_access_index));

struct nf_hook_state {
	__u8 hook, pf;
	struct net_device *in, *out;
} __attribute__((preserve_access_index));

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
} __attribute__((preserve_access_index));

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

/* A number as a pointer to a struct of the kernel: reads through it cost no call, and those that miss give 0. */
#define AS(type, pointer) ((const type *)bpf_rdonly_cast((const void *)(pointer), bpf_core_type_id_kernel(type)))

#endif
