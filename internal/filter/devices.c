// libpcap.a's list of capture devices names D-Bus, which would drag libdbus
// into a binary that captures nothing through libpcap. These take the place of
// pcap-dbus.o, so that the linker leaves it out. They are weak: a libpcap that
// does define them otherwise still links.
#include <stddef.h>

__attribute__((weak)) void *dbus_create(const char *device, char *errbuf, int *is_ours)
{
	(void)device;
	(void)errbuf;
	*is_ours = 0;
	return NULL;
}

__attribute__((weak)) int dbus_findalldevs(void *devices, char *errbuf)
{
	(void)devices;
	(void)errbuf;
	return 0;
}
