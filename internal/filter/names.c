// The name look-ups of libpcap's compiler, answered by names.go instead of
// glibc: in a static binary glibc's would need NSS modules at run time. They
// are hidden, so that no shared library is given them.
//
// Only what libpcap asks for is answered (libpcap's nametoaddr.c, scanner.l):
// addresses of a name, ports of a service, numeric addresses.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"

#define HIDDEN __attribute__((visibility("hidden")))

// Addresses that one name may have; the rest is ignored.
enum { max_addresses = 64 };

// The address and its list node are one allocation: freeaddrinfo frees both.
struct node {
	struct addrinfo info;
	struct sockaddr_storage address;
};

static struct addrinfo *push(struct addrinfo *next, const struct addrinfo *hints, int family)
{
	struct node *n = calloc(1, sizeof *n);
	if (n == NULL)
		return next;
	n->info.ai_family = n->address.ss_family = family;
	if (hints != NULL) {
		n->info.ai_socktype = hints->ai_socktype;
		n->info.ai_protocol = hints->ai_protocol;
	}
	n->info.ai_addr = (struct sockaddr *)&n->address;
	n->info.ai_addrlen = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	n->info.ai_next = next;
	return &n->info;
}

// push_address adds a 16-byte address; IPv4 is in its mapped form.
static struct addrinfo *push_address(struct addrinfo *next, const struct addrinfo *hints, const struct in6_addr *a)
{
	int family = IN6_IS_ADDR_V4MAPPED(a) ? AF_INET : AF_INET6;
	struct addrinfo *n;
	if (hints != NULL && hints->ai_family != AF_UNSPEC && hints->ai_family != family)
		return next;
	n = push(next, hints, family);
	if (n == next)
		return next;
	if (family == AF_INET)
		memcpy(&((struct sockaddr_in *)n->ai_addr)->sin_addr, &a->s6_addr[12], 4);
	else
		((struct sockaddr_in6 *)n->ai_addr)->sin6_addr = *a;
	return n;
}

// numeric parses an address in text form, IPv4 into its mapped form.
static int numeric(const char *text, struct in6_addr *a)
{
	memset(a, 0, sizeof *a);
	a->s6_addr[10] = a->s6_addr[11] = 0xff;
	if (inet_pton(AF_INET, text, &a->s6_addr[12]) == 1)
		return 1;
	return inet_pton(AF_INET6, text, a) == 1;
}

static struct addrinfo *addresses_of(const char *name, const struct addrinfo *hints)
{
	struct in6_addr found[max_addresses];
	struct addrinfo *list = NULL;
	int n = 0;
	if (numeric(name, &found[0]))
		n = 1;
	else if (hints == NULL || !(hints->ai_flags & AI_NUMERICHOST))
		n = tcpstoryLookupHost((char *)name, found, max_addresses);
	while (n-- > 0)
		list = push_address(list, hints, &found[n]);
	return list;
}

static struct addrinfo *port_of(const char *service, const struct addrinfo *hints)
{
	struct addrinfo *list;
	int protocol = hints != NULL ? hints->ai_protocol : 0;
	int port = tcpstoryLookupService((char *)service, protocol);
	if (port < 0)
		return NULL;
	list = push(NULL, hints, AF_INET);
	if (list != NULL)
		((struct sockaddr_in *)list->ai_addr)->sin_port = htons(port);
	return list;
}

HIDDEN int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	*list = name != NULL ? addresses_of(name, hints) : port_of(service, hints);
	return *list != NULL ? 0 : EAI_NONAME;
}

HIDDEN void freeaddrinfo(struct addrinfo *list)
{
	while (list != NULL) {
		struct addrinfo *next = list->ai_next;
		free(list);
		list = next;
	}
}

// gethostbyname serves pcap_nametoaddr, which the compiler does not call.
HIDDEN struct hostent *gethostbyname(const char *name)
{
	(void)name;
	return NULL;
}

HIDDEN int getnetbyname_r(const char *name, struct netent *result, char *buf, size_t size,
			  struct netent **found, int *error)
{
	uint32_t number;
	(void)buf;
	(void)size;
	*found = NULL;
	*error = HOST_NOT_FOUND;
	if (!tcpstoryLookupNetwork((char *)name, &number))
		return 0;
	memset(result, 0, sizeof *result);
	result->n_addrtype = AF_INET;
	result->n_net = number;
	*found = result;
	return 0;
}

HIDDEN int getprotobyname_r(const char *name, struct protoent *result, char *buf, size_t size,
			    struct protoent **found)
{
	int number = tcpstoryLookupProtocol((char *)name);
	(void)buf;
	(void)size;
	*found = NULL;
	if (number < 0)
		return 0;
	memset(result, 0, sizeof *result);
	result->p_proto = number;
	*found = result;
	return 0;
}

HIDDEN int ether_hostton(const char *name, struct ether_addr *address)
{
	return tcpstoryLookupEther((char *)name, address->ether_addr_octet) ? 0 : -1;
}
