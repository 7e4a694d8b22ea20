package host

import (
	"strings"
	"testing"
)

// Ids of containers around and beside someID.
const (
	otherID = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	taskID  = "0123456789abcdef0123456789abcdef"
	podUID  = "c2a7e1d4-5b6f-4c3d-9e8a-0f1b2c3d4e5f"
)

// paths are the forms, as the runtimes make them and as they must be read.
var paths = []struct{ path, runtime, container string }{
	{"/", "", ""},
	{"/user.slice/user-1000.slice/session-3.scope", "", ""},
	{"/system.slice/docker.service", "", ""},
	{"/docker", "", ""},
	// docker
	{"/docker/" + someID, docker, someID},
	{"/docker/" + someID + "/init.scope/deep/er", docker, someID},
	{"/system.slice/docker-" + someID + ".scope", docker, someID},
	{"/some.slice/some-parent.slice/docker-" + someID + ".scope", docker, someID},
	{"/my-parent/" + someID, "", someID},
	{"/system.slice:docker:" + someID, docker, someID},
	// podman
	{"/machine.slice/libpod-" + someID + ".scope", podman, someID},
	{"/machine.slice/libpod-" + someID + ".scope/container", podman, someID},
	{"/libpod_parent/libpod-" + someID, podman, someID},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + someID + ".scope/container", podman, someID},
	{"/machine.slice/libpod-conmon-" + someID + ".scope", "", ""},
	{"/libpod_parent/conmon", "", ""},
	// Kubernetes
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podc2a7e1d4_5b6f_4c3d_9e8a_0f1b2c3d4e5f.slice/cri-containerd-" + someID + ".scope", containerd, someID},
	{"/kubepods.slice/kubepods-podc2a7e1d4_5b6f_4c3d_9e8a_0f1b2c3d4e5f.slice/crio-" + someID + ".scope/container", crio, someID},
	{"/kubepods.slice/kubepods-podc2a7e1d4_5b6f_4c3d_9e8a_0f1b2c3d4e5f.slice/crio-conmon-" + someID + ".scope", "", ""},
	{"/kubepods/burstable/pod" + podUID + "/" + someID, "", someID},
	{"/kubepods/burstable/pod" + podUID + "/crio-" + someID, crio, someID},
	{"/kubepods/burstable/pod" + podUID + "/crio-conmon-" + someID, "", ""},
	{"/kubepods/burstable/pod" + podUID, "", ""},
	{"/system.slice/containerd.service/kubepods-burstable-podc2a7e1d4_5b6f_4c3d_9e8a_0f1b2c3d4e5f.slice:cri-containerd:" + someID, containerd, someID},
	// containerd and nerdctl
	{"/default/" + someID, "", someID},
	{"/system.slice/nerdctl-" + someID + ".scope", containerd, someID},
	// Amazon
	{"/ecs/" + taskID + "/" + someID, "", someID},
	{"/ecstasks.slice/ecstasks-" + taskID + ".slice/docker-" + someID + ".scope", docker, someID},
	{"/ecs/" + taskID + "/" + taskID + "-1234567890", "", taskID + "-1234567890"},
	{"/ecs/" + taskID + "/" + taskID + "-12345678", "", taskID + "-12345678"},
	{"/ecs/" + taskID + "/" + taskID + "-12345678901", "", ""},
	{"/ecs/" + taskID + "/" + taskID, "", ""},
	// Cloud Foundry
	{"/system.slice/garden.service/garden/" + podUID, garden, podUID},
	{"/garden/6f265890-5165-7fab-6b52-18d1", garden, "6f265890-5165-7fab-6b52-18d1"},
	{"/pods/" + podUID, "", ""},
	// by name only
	{"/lxc.payload.web-1", lxc, "web-1"},
	{"/lxc.payload.web-1/system.slice/nginx.service", lxc, "web-1"},
	{"/lxc.payload/web", lxc, "web"},
	{"/lxc/101/ns/init.scope", lxc, "101"},
	{"/lxc.monitor.web-1", "", ""},
	{"/lxc.payload.", "", ""},
	{`/machine.slice/machine-my\x2dbox.scope/payload/init.scope`, machined, "my-box"},
	{`/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt`, machined, "qemu-1-vm"},
	{`/machine.slice/machine-a\x2.scope`, machined, `a\x2`},
	{`/machine.slice/machine-\x5cx41\xZZ.scope`, machined, `\x41\xZZ`},
	{`/machine.slice/machine-.scope`, "", ""},
	{"/machine.slice/machine.scope", "", ""},
	{`/machine.slice/systemd-nspawn@deb\x2d12.service/payload`, nspawn, "deb-12"},
	// one inside another: the innermost
	{"/docker/" + otherID + "/docker/" + someID, docker, someID},
	{"/docker/" + otherID + "/kubelet.slice/kubelet-kubepods.slice/cri-containerd-" + someID + ".scope", containerd, someID},
	{"/lxc.payload.node/system.slice/docker-" + someID + ".scope", docker, someID},
	{"/docker/" + someID + "/machine.slice/libpod-conmon-" + otherID + ".scope", docker, someID},
	// no ids
	{"/docker/" + someID[1:], "", ""},
	{"/docker/0" + someID, "", ""},
	{"/docker/" + strings.ToUpper(someID), "", ""},
	{"/other-" + someID + ".scope", "", ""},
	{"/docker-" + someID + ".slice", "", ""},
	{"/" + someID + ".scope", "", someID},
	{"relative/docker-" + someID + ".scope", docker, someID},
}

func TestContainerOf(t *testing.T) {
	for _, c := range paths {
		want := Cgroup{Path: c.path, Runtime: c.runtime, Container: c.container}
		if c.runtime == lxc || c.runtime == machined || c.runtime == nspawn {
			want.Name = c.container
		}
		if have := containerOf(c.path); have != want {
			t.Errorf("%s\n  %+v, want\n  %+v", c.path, have, want)
		}
	}
}

// FuzzContainerOf: what is read is a part of the path that can be a file's name.
func FuzzContainerOf(f *testing.F) {
	for _, c := range paths {
		f.Add(c.path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		c := containerOf(path)
		if c.Path != path || c.Container == "" && c.Runtime+c.Name != "" {
			t.Errorf("%q: %+v", path, c)
		}
		if c.Name == "" && c.Container != "" && strings.Trim(c.Container, "0123456789abcdef-") != "" {
			t.Errorf("%q: the id %q could lead elsewhere", path, c.Container)
		}
		if c.Name == "" && !strings.Contains(path, c.Container) {
			t.Errorf("%q: %q is not of the path", path, c.Container)
		}
	})
}
