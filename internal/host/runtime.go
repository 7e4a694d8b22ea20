package host

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// runtimeFiles is where a runtime tells its containers' names. Only the default
// places are known, and of each user's own runtimes none.
var runtimeFiles = []struct {
	runtime string
	name    func(n *Names, id string) string
	certain bool // only containers of this runtime have such a file
}{
	{docker, (*Names).dockerName, true},
	{containerd, (*Names).containerdName, true},
	{podman, (*Names).storageName, false},
	{crio, (*Names).crioName, false},
}

// nameContainer asks the files of the runtime, or where the path does not tell
// which one that is, those that would prove it.
func (n *Names) nameContainer(c *Cgroup) {
	if c.Container == "" || c.Name != "" {
		return
	}
	for _, f := range runtimeFiles {
		if c.Runtime != f.runtime && (c.Runtime != "" || !f.certain) {
			continue
		}
		if name := f.name(n, c.Container); name != "" && len(name) <= maxName {
			c.Runtime, c.Name = f.runtime, name
			return
		}
	}
}

// maxName bounds what is taken for a name: Kubernetes' three parts have 63, 253
// and 63 bytes at most.
const maxName = 512

// maxConfig bounds the file of one container.
const maxConfig = 4 << 20

// dockerName reads what dockerd writes of each container (moby, container.go):
// its name has a leading "/".
func (n *Names) dockerName(id string) string {
	var config struct{ ID, Name string }
	file := filepath.Join(n.roots.Var, "lib/docker/containers", id, "config.v2.json")
	if readJSON(file, maxConfig, &config) != nil || config.ID != id {
		return ""
	}
	return kubernetesName(strings.TrimPrefix(config.Name, "/"))
}

// containerdDirs hold each running container's OCI bundle: containerd's own
// default, and k3s's and RKE2's.
var containerdDirs = []string{"containerd", "k3s/containerd"}

// containerdName reads a bundle's annotations, in whichever of containerd's
// namespaces it is (docker's, moby, has none).
func (n *Names) containerdName(id string) string {
	for _, dir := range containerdDirs {
		tasks := filepath.Join(n.roots.Run, dir, "io.containerd.runtime.v2.task")
		namespaces, _ := os.ReadDir(tasks) // not there: not this one
		for _, namespace := range namespaces {
			file := filepath.Join(tasks, namespace.Name(), id, "config.json")
			if name := bundleName(file); name != "" {
				return name
			}
		}
	}
	return ""
}

// bundleName reads the annotations that containerd's CRI plugin and nerdctl set
// (containerd, annotations.go; nerdctl, labels.go).
func bundleName(file string) string {
	var bundle struct {
		Annotations struct {
			Namespace string `json:"io.kubernetes.cri.sandbox-namespace"`
			Pod       string `json:"io.kubernetes.cri.sandbox-name"`
			Container string `json:"io.kubernetes.cri.container-name"` // none on the pod's own
			Nerdctl   string `json:"nerdctl/name"`
		} `json:"annotations"`
	}
	if readJSON(file, maxConfig, &bundle) != nil {
		return ""
	}
	a := &bundle.Annotations
	if a.Nerdctl != "" {
		return a.Nerdctl
	}
	return podName(a.Namespace, a.Pod, a.Container)
}

// podName joins what is known of "namespace/pod/container"; the pod's own
// container has no third part.
func podName(parts ...string) string {
	known := parts[:0:0]
	for _, p := range parts {
		if p != "" {
			known = append(known, p)
		}
	}
	return strings.Join(known, "/")
}

// crioName is podman's store, used by CRI-O.
func (n *Names) crioName(id string) string {
	return kubernetesName(n.storageName(id))
}

// kubernetesName reads the names that CRI-O and cri-dockerd give:
// k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT, where POD is the pod's own container.
// Kubernetes allows no "_" in its names. Any other name stays as it is.
func kubernetesName(name string) string {
	parts := strings.Split(name, "_")
	if len(parts) < 6 || parts[0] != "k8s" || !isPodUID(parts[4]) {
		return name
	}
	container, pod, namespace := parts[1], parts[2], parts[3]
	if container == "POD" {
		container = ""
	}
	return podName(namespace, pod, container)
}

// isPodUID: a GUID, or of a static pod 32 hexadecimal digits.
func isPodUID(s string) bool {
	return isGUID(s) || len(s) == 32 && isHex(s)
}

// readJSON reads a file that somebody else wrote, if it is no longer than limit.
func readJSON(file string, limit int64, into any) error {
	data, err := readBounded(file, limit)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
