/* SPDX-License-Identifier: MIT */
/* Packets as interfaces see them (tcx): behind tags and PPPoE, in one piece or many, longer or shorter than they say. */
#ifndef NETLEDGER_FRAMES_H
#define NETLEDGER_FRAMES_H

#define TAGS_MAX 8
#define LINK_BYTES_MAX 64
#define ETH_P_PPP_SES_ 0x8864
#define UDP_HEADER_BYTES 8
#define TCP_LENGTH_AT 12

/* Where the network layer's header starts: the kernel knows, whatever the link layer is. A frame starts with the link layer's. */
static __always_inline __u32 network_at(const struct sk_buff *skb)
{
	return (__u16)(skb->network_header - skb->mac_header);
}

/* In the order of bytes of a frame. */
static __always_inline int is_tagged(__u16 protocol)
{
	return protocol == bpf_htons(0x8100) || protocol == bpf_htons(0x88a8) || protocol == bpf_htons(0x9100) ||
	       protocol == bpf_htons(0x9200) || protocol == bpf_htons(ETH_P_PPP_SES_);
}

/* The version of the IP packet that is in tags or PPPoE, `reading` moved to it; or 0. */
static __always_inline int open_tags(struct reading *reading, __u16 protocol)
{
	for (int i = 0; i <= TAGS_MAX; i++) {
		const __be16 *words;

		if (protocol == bpf_htons(ETH_P_IP))
			return 4;
		if (protocol == bpf_htons(ETH_P_IPV6))
			return 6;
		if (!is_tagged(protocol))
			return 0;
		if (protocol == bpf_htons(ETH_P_PPP_SES_)) {
			/* RFC 2516: version and type 1, code 0; session; length; the number of PPP's protocol. */
			words = bytes_at(reading, reading->at, 8);
			if (!words || words[0] != bpf_htons(0x1100))
				return 0;
			reading->at += 8;
			return words[3] == bpf_htons(0x21) ? 4 : words[3] == bpf_htons(0x57) ? 6 : 0;
		}
		words = bytes_at(reading, reading->at, 4);
		if (!words)
			return 0;
		protocol = words[1];
		reading->at += 4;
	}
	return 0;
}

/* Of a frame that is sent with its tag inside the kernel says so, and all the same where IP is: its type is in front of that. */
static __always_inline __u16 type_of(struct reading *reading, __u16 protocol)
{
	const __be16 *before;

	if (!is_tagged(protocol) || reading->at < ETH_HLEN)
		return protocol;
	before = bytes_at(reading, reading->at - 2, 2);
	if (before && (*before == bpf_htons(ETH_P_IP) || *before == bpf_htons(ETH_P_IPV6) || is_tagged(*before)))
		return *before;
	return protocol;
}

/* What a super-packet is on the wire: so many packets, each with the headers that it has once. */
static __always_inline void book_super(struct receipt *receipt, struct reading *reading, __u32 segments, __u32 segment_bytes)
{
	__u32 headers = reading->upper, bytes = reading->packet.bytes;

	if (headers == NOWHERE)
		headers = 0;
	if (headers && reading->packet.protocol == IPPROTO_UDP)
		headers += UDP_HEADER_BYTES;
	if (headers && reading->packet.protocol == IPPROTO_TCP) {
		const __u8 *length = bytes_at(reading, reading->at + headers + TCP_LENGTH_AT, 1);

		headers += length ? (*length >> 4) * 4 : 20;
	}
	if (!segments && segment_bytes && bytes > headers)
		segments = (bytes - headers + segment_bytes - 1) / segment_bytes;
	if (!segments)
		segments = 1;
	ADD_RECEIPT(receipt->super.packets, 1);
	ADD_RECEIPT(receipt->super.bytes, bytes);
	ADD_RECEIPT(receipt->super_wire.packets, segments);
	ADD_RECEIPT(receipt->super_wire.bytes, bytes + (__u64)(segments - 1) * headers);
}

/* Nothing is booked that was not there; what is behind the packet's own length is padding. */
static __always_inline void book_lengths(struct receipt *receipt, const struct reading *reading)
{
	if (!reading->claimed)
		ADD_RECEIPT(receipt->length_unknown, 1);
	else if (reading->claimed > reading->there)
		ADD_RECEIPT(receipt->length_lies, 1);
	if (settings.ports && reading->is_later_fragment)
		ADD_RECEIPT(receipt->fragments_unknown, 1);
}

static __noinline int parse_frame(struct __sk_buff *skb, __u64 number, __u32 at)
{
	struct reading reading = {.at = at, .needs_upper = skb->gso_size != 0};
	struct receipt *receipt;
	enum unreadable why;
	int version;

	if (bpf_dynptr_from_skb(skb, 0, &reading.frame))
		return TCX_NEXT;
	version = open_tags(&reading, type_of(&reading, skb->protocol));
	if (!version) {
		__u32 slot = number & (SLOTS - 1);

		receipt = bpf_map_lookup_elem(&receipts, &slot);
		if (receipt)
			ADD_RECEIPT(receipt->ignored, 1);
		return TCX_NEXT;
	}
	reading.there = skb->len > reading.at ? skb->len - reading.at : 0;
	why = parse(&reading, version);
	if (why != READABLE) {
		book_unreadable(number, why, reading.there);
		return TCX_NEXT;
	}
	reading.packet.bytes = reading.claimed && reading.claimed < reading.there ? reading.claimed : reading.there;
	reading.packet.source_place = reading.packet.destination_place = skb->ifindex;
	receipt = book_apart(number, &reading.packet);
	if (receipt) {
		book_lengths(receipt, &reading);
		if (skb->gso_size)
			book_super(receipt, &reading, skb->gso_segs, skb->gso_size);
	}
	return TCX_NEXT;
}

#endif
