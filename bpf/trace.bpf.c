// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* One object, one ring buffer, one program per hook. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "event.h"
#include "output.h"
#include "socket.h"
#include "owner.h"
#include "select.h"
#include "acts.h"
#include "connect.h"
#include "timer.h"
#include "minisock.h"
#include "state.h"
#include "frame.h"
#include "local.h"
#include "device.h"
#include "segment.h"
#include "held.h"
#include "middle.h"
#include "packet.h"
#include "tap.h"
#include "retransmit.h"
#include "reset.h"
#include "drop.h"
#include "walk.h"
#include "life.h"
#include "lives.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that BTF, and bpf2go after it, keeps the enums. */
const enum event_kind *kind_for_btf __attribute__((unused));
const enum event_via *via_for_btf __attribute__((unused));
const enum event_flag *flag_for_btf __attribute__((unused));
const enum life_flag *life_flag_for_btf __attribute__((unused));
