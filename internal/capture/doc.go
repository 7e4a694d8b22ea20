// Package capture reads capture files (pcap and pcapng) as tcp.Events and
// writes packets as pcap. Files are hostile: a reader believes no length in
// them further than the bytes that are there, and says where they lie.
package capture
