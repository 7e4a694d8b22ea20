// Package diagnose finds the connections in trouble and says what is wrong: what
// happened, where a packet died, and whose fault it is, with the evidence.
//
// An Engine is given the steps of a story and the passing of time. It keeps a
// small record for each connection, and evidence only for those in which something
// is under way; its verdicts follow from that alone. It does no I/O and reads no
// clock, so that a recording gives the verdicts that the live trace gave.
package diagnose
