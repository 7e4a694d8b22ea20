// Package crew starts servers and clients of many kinds on the hosts of a
// laboratory: workers forked before or for each connection, threads, processes
// that pass sockets on or live for one connection. They write down who did what
// with which socket, and when. Only tests use it; it needs a C compiler (see
// src/crew.h for why) and root.
package crew
