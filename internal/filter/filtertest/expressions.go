// Package filtertest has what the tests of filters share: expressions of every
// kind, packets of every kind, random programs, and tcpdump as the judge.
package filtertest

// Expressions has every kind of pcap-filter(7) primitive and operator that
// compiles for Ethernet without looking at the kernel's own fields.
var Expressions = []string{
	// everything, and by protocol
	"", "ip", "ip6", "arp", "rarp", "tcp", "udp", "icmp", "icmp6", "igmp", "sctp", "pim", "ah", "esp", "vrrp",
	"ether proto 0x0806", "ether proto \\ip", "ip proto 6", "ip proto \\udp", "ip6 proto 17", "proto 1", "not tcp",
	// by host and net
	"host 10.77.0.2", "src host 10.77.0.1", "dst host 10.77.0.2", "src or dst host 192.168.5.9", "src and dst host 127.0.0.1",
	"host fd77::1", "ip6 host fd77::2", "src host 2001:db8::5", "ip host 10.77.0.2", "arp host 10.77.0.2",
	"net 10.0.0.0/8", "net 10.77", "src net 192.168.0.0/16", "dst net 10.77.0.0 mask 255.255.255.0", "net fd77::/64", "dst net 2001:db8::/33",
	"host localhost", "net loopback",
	// by port
	"port 80", "tcp port 80", "udp port 53", "src port 40000", "dst port 443", "tcp src port 80", "port http", "port domain",
	"portrange 1000-2000", "tcp portrange 79-81", "src portrange 40000-40002", "dst portrange 1-1023", "sctp port 80",
	// by size
	"greater 100", "less 60", "len > 70 and len < 90", "len = 66", "len & 1 = 1", "greater 1000 and less 70000",
	// by link layer
	"ether host 02:00:00:00:00:01", "ether src 02:00:00:00:00:02", "ether dst 02:00:00:00:00:02", "ether broadcast", "broadcast",
	"ether multicast", "multicast", "ip multicast", "ip6 multicast", "ether[0] & 1 = 0 and ip[16] >= 224",
	"vlan", "vlan 100", "vlan 100 and tcp port 80", "vlan and vlan", "vlan and vlan 200 and ip6", "not vlan", "mpls", "mpls 16", "pppoed", "pppoes",
	"llc", "stp", "ipx", "atalk", "iso", "ether proto 0x88cc", "geneve",
	// by bytes
	"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[tcpflags] & tcp-syn != 0 and src host 10.77.0.2", "tcp[13] = 2", "tcp[13] & 2 != 0 and tcp[13] & 2 = 0",
	"tcp[0:2] > 45000", "tcp[0:2] = tcp[2:2]", "tcp[2:2] > tcp[0:2]", "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
	"tcp and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)", "ip[0] & 0xf != 5", "ip[8] < 64 and port 443", "ip[6:2] & 0x1fff != 0",
	"ip[6:2] & 0x1fff = 0 and tcp", "ip6[6] = 6", "ip6[7] < 5", "ip6[40:2] = 80", "ip[2:2] * 2 > 200", "ip[2:2] / 3 = 20", "ip[2:2] % 7 = 3",
	"ip[2:2] ^ 0xff = 0xc3", "ip[1] | 3 = 3", "(ip[12] + ip[16]) & 0xff = 20", "udp[8:4] = 0x12345678", "udp[4:2] > 20", "ether[6:4] = 0x02000000",
	"icmp[icmptype] = icmp-echo", "icmp[icmptype] = icmp-unreach and icmp[icmpcode] = 4", "icmp6[icmp6type] = icmp6-routersolicit", "icmp[0] = 3 and icmp[17] = 6",
	"arp[6:2] = 1", "tcp[20:4] = 0x02040564", "ip[ip[3]:1] = 0", "tcp[tcp[12] >> 2] = 71", "ether[len - 1] = 0", "ip[100] = 1", "ether[200:4] & 0xff != 0x11",
	"-ip[1] = 0", "ip[8] << 2 > 200", "ip[2:2] >> ip[1] > 50", "1 << ip[8] = 0", "ip[2:2] / ip[1] = 40", "ip[2:2] % tcp[13] = 0",
	// nested
	"host 10.77.0.2 and not port 22", "not (host 10.77.0.1 and port 80)", "port 80 or port 443 or icmp", "not port 22", "ip6 and tcp port 80",
	"src host 10.77.0.1 and dst port 80", "(host 10.1.0.1 or net 192.168.0.0/16 or net 172.16.0.0/12) and not port 22 and portrange 1000-2000",
	"(tcp[13] & 2 != 0 or greater 200) and (port 80 or port 443 or host 10.77.0.1) and (less 1000 or ip[8] > 5)", "src net fd77::/64 and not dst port 80",
	"dst port 22 and src port 40000", "port 80 and less 60 and greater 100", "ether host 02:00:00:00:00:01 and port 80", "tcp and not (src port 80 or dst port 80) or udp",
	"not (tcp or udp or icmp) and ip", "! ( tcp port 80 || udp port 53 ) && ! arp", "tcp port (80 or 443) and host (10.77.0.1 or fd77::1)",
	"tcp or (icmp[icmptype] == icmp-unreach and icmp[17] == 6) or (icmp6 and ip6[40] = 1 and ip6[54] = 6)",
}
