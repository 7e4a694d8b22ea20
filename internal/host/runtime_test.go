package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// dockerID is the container of testdata/docker-20.10.24.json.
const dockerID = "7ce8eea7944edea9688f8d30f1f413ba5ae73ad2afdbc8d61cac8e3e63c1447e"

// k8sName is how CRI-O and cri-dockerd name a container.
func k8sName(container string) string {
	return "k8s_" + container + "_web-7d4b9_shop_" + podUID + "_0"
}

// files are one file of a runtime each, and what a path then tells.
var files = []struct {
	about      string
	file, text string // below the root
	path       string
	want       Cgroup // Path left out
}{
	{"docker", "var/lib/docker/containers/" + someID + "/config.v2.json", `{"ID":"` + someID + `","Name":"/web.1"}`,
		"/docker/" + someID, Cgroup{Container: someID, Name: "web.1", Runtime: docker}},
	{"docker below another parent", "var/lib/docker/containers/" + someID + "/config.v2.json", `{"ID":"` + someID + `","Name":"/web"}`,
		"/mine/" + someID, Cgroup{Container: someID, Name: "web", Runtime: docker}},
	{"cri-dockerd", "var/lib/docker/containers/" + someID + "/config.v2.json", `{"ID":"` + someID + `","Name":"/` + k8sName("nginx") + `"}`,
		"/kubepods/pod" + podUID + "/" + someID, Cgroup{Container: someID, Name: "shop/web-7d4b9/nginx", Runtime: docker}},
	{"docker's file of another", "var/lib/docker/containers/" + someID + "/config.v2.json", `{"ID":"` + otherID + `","Name":"/web"}`,
		"/docker/" + someID, Cgroup{Container: someID, Runtime: docker}},
	{"podman", "var/lib/containers/storage/overlay-containers/containers.json", `[{"id":"` + otherID + `","names":["db"]},{"id":"` + someID + `","names":["web","w"]}]`,
		"/libpod_parent/libpod-" + someID, Cgroup{Container: someID, Name: "web", Runtime: podman}},
	{"podman --rm", "var/lib/containers/storage/vfs-containers/volatile-containers.json", `[{"id":"` + someID + `","names":["web"]}]`,
		"/machine.slice/libpod-" + someID + ".scope/container", Cgroup{Container: someID, Name: "web", Runtime: podman}},
	{"podman in transient mode", "run/containers/storage/overlay-containers/volatile-containers.json", `[{"id":"` + someID + `","names":["web"]}]`,
		"/machine.slice/libpod-" + someID + ".scope", Cgroup{Container: someID, Name: "web", Runtime: podman}},
	{"podman, no name", "var/lib/containers/storage/overlay-containers/containers.json", `[{"id":"` + someID + `"}]`,
		"/libpod_parent/libpod-" + someID, Cgroup{Container: someID, Runtime: podman}},
	{"CRI-O", "var/lib/containers/storage/overlay-containers/volatile-containers.json", `[{"id":"` + someID + `","names":["` + k8sName("nginx") + `"],"metadata":"{\"pod-name\":\"x\"}"}]`,
		"/kubepods.slice/crio-" + someID + ".scope", Cgroup{Container: someID, Name: "shop/web-7d4b9/nginx", Runtime: crio}},
	{"CRI-O, the pod's own", "var/lib/containers/storage/overlay-containers/volatile-containers.json", `[{"id":"` + someID + `","names":["` + k8sName("POD") + `","` + k8sName("POD") + `"]}]`,
		"/kubepods.slice/crio-" + someID + ".scope", Cgroup{Container: someID, Name: "shop/web-7d4b9", Runtime: crio}},
	{"containerd, Kubernetes", "run/containerd/io.containerd.runtime.v2.task/k8s.io/" + someID + "/config.json",
		`{"ociVersion":"1.1.0","annotations":{"io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-name":"web-7d4b9","io.kubernetes.cri.sandbox-namespace":"shop"},"linux":{}}`,
		"/kubepods.slice/cri-containerd-" + someID + ".scope", Cgroup{Container: someID, Name: "shop/web-7d4b9/nginx", Runtime: containerd}},
	{"containerd, the pod's own", "run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/" + someID + "/config.json",
		`{"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"web-7d4b9","io.kubernetes.cri.sandbox-namespace":"shop"}}`,
		"/kubepods/pod" + podUID + "/" + someID, Cgroup{Container: someID, Name: "shop/web-7d4b9", Runtime: containerd}},
	{"containerd before 1.5", "run/containerd/io.containerd.runtime.v2.task/k8s.io/" + someID + "/config.json",
		`{"annotations":{"io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.container-type":"container"}}`,
		"/kubepods.slice/cri-containerd-" + someID + ".scope", Cgroup{Container: someID, Name: "nginx", Runtime: containerd}},
	{"nerdctl", "run/containerd/io.containerd.runtime.v2.task/default/" + someID + "/config.json", `{"annotations":{"nerdctl/name":"web","nerdctl/namespace":"default"}}`,
		"/default/" + someID, Cgroup{Container: someID, Name: "web", Runtime: containerd}},
	{"Fargate", "run/containerd/io.containerd.runtime.v2.task/fargate.task/" + taskID + "-12/config.json", `{"annotations":{}}`,
		"/ecs/" + taskID + "/" + taskID + "-12", Cgroup{Container: taskID + "-12"}},
	{"any bytes", "var/lib/docker/containers/" + someID + "/config.v2.json", `{"ID":"` + someID + `","Name":"/\u001b[2Jä\n"}`,
		"/docker/" + someID, Cgroup{Container: someID, Name: "\x1b[2Jä\n", Runtime: docker}},
	{"no such file", "run/other", "", "/docker/" + someID, Cgroup{Container: someID, Runtime: docker}},
}

func TestRuntimeFiles(t *testing.T) {
	for _, c := range files {
		root := t.TempDir()
		write(t, filepath.Join(root, c.file), c.text)
		n, _ := watchAt(t, Roots{Proc: "/proc", Run: root + "/run", Var: root + "/var"})
		have := containerOf(c.path)
		n.nameContainer(&have)
		c.want.Path = c.path
		if have != c.want {
			t.Errorf("%s:\n  %+v, want\n  %+v", c.about, have, c.want)
		}
	}
}

// What docker 20.10.24 wrote for a container named "my.box".
func TestDockerFile(t *testing.T) {
	text, err := os.ReadFile("testdata/docker-20.10.24.json")
	if err != nil {
		t.Fatal(err)
	}
	n, _ := watchAt(t, Roots{Proc: "/proc", Run: t.TempDir(), Var: t.TempDir()})
	write(t, n.roots.Var+"/lib/docker/containers/"+dockerID+"/config.v2.json", string(text))
	if have := n.dockerName(dockerID); have != "my.box" {
		t.Errorf("%q", have)
	}
}

// Files that no runtime wrote: none of them is waited for, believed or kept.
func TestHostileFiles(t *testing.T) {
	n, _ := watchAt(t, Roots{Proc: "/proc", Run: t.TempDir(), Var: t.TempDir()})
	file := n.roots.Var + "/lib/docker/containers/" + someID + "/config.v2.json"
	good := `{"ID":"` + someID + `","Name":"/web"}`
	for about, text := range map[string]string{
		"too long":      good + strings.Repeat(" ", maxConfig),
		"name too long": `{"ID":"` + someID + `","Name":"/` + strings.Repeat("x", maxName+1) + `"}`,
		"cut":           good[:len(good)-1],
		"more behind":   good + good,
		"another type":  `{"ID":"` + someID + `","Name":["/web"]}`,
		"an array":      `[` + good + `]`,
		"nested":        strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000),
		"nothing":       "",
		"null":          "null",
		"not JSON":      "\x00\x01\x02",
	} {
		write(t, file, text)
		c := containerOf("/docker/" + someID)
		if n.nameContainer(&c); c.Name != "" {
			t.Errorf("%s: %q", about, c.Name)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if have := n.dockerName(someID); have != "" {
		t.Errorf("out of a pipe: %q", have)
	}
}

// A store's list is read once for each writing.
func TestStorageReadOnce(t *testing.T) {
	n, _ := watchAt(t, Roots{Proc: "/proc", Run: t.TempDir(), Var: t.TempDir()})
	list := n.roots.Var + "/lib/containers/storage/overlay-containers/containers.json"
	replace := func(text string) {
		write(t, list+".new", text)
		if err := os.Rename(list+".new", list); err != nil {
			t.Fatal(err)
		}
	}
	replace(fmt.Sprintf(`[{"id":"%s","names":["one"]}]`, someID))
	if have := n.storageName(someID); have != "one" {
		t.Fatalf("%q", have)
	}
	kept := n.storage[list]
	if n.storageName(otherID); n.storage[list] != kept {
		t.Error("read again though it was not written")
	}
	replace(fmt.Sprintf(`[{"id":"%s","names":["two"]}]`, someID))
	if have := n.storageName(someID); have != "two" {
		t.Errorf("%q after it was written", have)
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	if have := n.storageName(someID); have != "" || n.storage[list] != nil {
		t.Errorf("%q after its end", have)
	}
}

func TestKubernetesName(t *testing.T) {
	for name, want := range map[string]string{
		"web":                                    "web",
		"":                                       "",
		"k8s_a_b_c_d_e":                          "k8s_a_b_c_d_e", // somebody's own name
		"k8s_nginx_web_shop_" + podUID + "_12":   "shop/web/nginx",
		"k8s_POD_web_shop_" + taskID + "_0":      "shop/web",
		"k8s_nginx_web_shop_" + podUID + "_0_a1": "shop/web/nginx", // cri-dockerd, after a clash
		"k8s_nginx_web_shop_" + podUID:           "k8s_nginx_web_shop_" + podUID,
	} {
		if have := kubernetesName(name); have != want {
			t.Errorf("%s: %q, want %q", name, have, want)
		}
	}
}

// FuzzFiles: whatever a runtime's file holds, a name is short and comes of it.
func FuzzFiles(f *testing.F) {
	for _, c := range files {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		root := t.TempDir()
		n := NewAt(Roots{Proc: root, Run: root + "/run", Var: root + "/var"})
		for _, file := range []string{
			"var/lib/docker/containers/" + someID + "/config.v2.json",
			"var/lib/containers/storage/overlay-containers/containers.json",
			"run/containerd/io.containerd.runtime.v2.task/default/" + someID + "/config.json",
		} {
			write(t, filepath.Join(root, file), string(text))
		}
		for _, runtime := range []string{"", docker, podman, crio, containerd} {
			c := Cgroup{Path: "/x", Container: someID, Runtime: runtime}
			n.nameContainer(&c)
			if len(c.Name) > maxName || c.Name != "" && c.Runtime == "" || c.Container != someID {
				t.Errorf("%q: %+v", text, c)
			}
		}
	})
}
