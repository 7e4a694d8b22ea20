// Package host says what the host's own files tell about the numbers that the
// kernel gives: the names of network namespaces, the paths of cgroups, and the
// containers that live in them. It is asked live only, and each number seldom:
// what was found is kept.
package host
