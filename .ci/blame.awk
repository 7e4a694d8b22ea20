# Reads the events of go test -json, and fails where a test binary died, or a package
# failed and none of its tests did: what no test is to blame for, no second run of one
# makes good.
{ package = match($0, /"Package":"[^"]*"/) ? substr($0, RSTART + 11, RLENGTH - 12) : "go test" }
/"Output":"(fatal error|signal): / { died[package] }
/"Action":"(build-)?fail"/ { if (/"Test":"/) test[package]; else failed[package] }
END {
	for (p in died) { print p ": its test binary died"; bad = 1 }
	for (p in failed) if (!(p in test) && !(p in died)) { print p ": failed, and none of its tests did"; bad = 1 }
	exit bad
}
