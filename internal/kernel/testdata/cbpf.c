/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the tests of cbpf.go put translated filters into: two programs that
 * share one stub, as those of bpf/ do. The frames come from the test. */
typedef unsigned char __u8;
typedef unsigned int __u32;

#define SEC(name) __attribute__((section(name), used))

struct frame {
	__u32 caplen, wire;
	__u8 data[512];
};

struct {
	int (*type)[2]; /* BPF_MAP_TYPE_ARRAY */
	int (*max_entries)[1024];
	__u32 *key;
	struct frame *value;
} frames SEC(".maps");

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;

static __attribute__((noinline)) int filter(struct frame *f, __u32 caplen, __u32 wire)
{
	int r;

	asm volatile("%0 = 1" : "=r"(r) : "r"(f), "r"(caplen), "r"(wire));
	return r;
}

/* another function behind the stub: its end must be found */
static __attribute__((noinline)) int verdict(__u32 index)
{
	struct frame *f = bpf_map_lookup_elem(&frames, &index);

	return f ? filter(f, f->caplen, f->wire) : -1;
}

SEC("syscall") int judge(__u32 *index)
{
	return verdict(*index);
}

SEC("tc") int judge_skb(void *skb)
{
	return skb ? verdict(0) : -1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
