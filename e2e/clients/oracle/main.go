// Command oracle answers what Kubernetes' own libraries make of patches: one question of JSON a line, one answer a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
)

type question struct {
	// apply, update, strategic or threeway.
	Verb       string          `json:"verb"`
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Manager    string          `json:"manager"`
	Force      bool            `json:"force"`
	Live       json.RawMessage `json:"live"`
	// What is applied, the new object, or the patch.
	Sent json.RawMessage `json:"sent"`
	// What was applied before (threeway).
	Original json.RawMessage `json:"original"`
}

type answer struct {
	Result json.RawMessage `json:"result,omitempty"`
	// What the patch makes of the live object (threeway).
	Patched json.RawMessage `json:"patched,omitempty"`
	Error   string          `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	managers := fieldManagers{converter: applyconfigurations.NewTypeConverter(scheme.Scheme)}
	for lines.Scan() {
		var asked question
		said := answer{}
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			said.Error = "question: " + err.Error()
		} else if err := respond(&managers, &asked, &said); err != nil {
			said = answer{Error: err.Error()}
		}
		if err := encoder.Encode(said); err != nil {
			panic(err)
		}
		if err := out.Flush(); err != nil {
			panic(err)
		}
	}
}

func respond(managers *fieldManagers, asked *question, said *answer) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	kind := schema.FromAPIVersionAndKind(asked.APIVersion, asked.Kind)
	switch asked.Verb {
	case "strategic":
		said.Result, err = patched(kind, asked.Live, asked.Sent)
		return err
	case "threeway":
		typed, err := scheme.Scheme.New(kind)
		if err != nil {
			return err
		}
		meta, err := strategicpatch.NewPatchMetaFromStruct(typed)
		if err != nil {
			return err
		}
		patch, err := strategicpatch.CreateThreeWayMergePatch(asked.Original, asked.Sent, asked.Live, meta, true)
		if err != nil {
			return err
		}
		said.Result = patch
		said.Patched, err = patched(kind, asked.Live, patch)
		return err
	}
	manager, err := managers.of(kind)
	if err != nil {
		return err
	}
	live, err := decode(kind, asked.Live)
	if err != nil {
		return err
	}
	var made runtime.Object
	if asked.Verb == "apply" {
		sent := &unstructured.Unstructured{}
		if err := json.Unmarshal(asked.Sent, &sent.Object); err != nil {
			return err
		}
		made, err = manager.Apply(live, sent, asked.Manager, asked.Force)
	} else {
		sent, failed := decode(kind, asked.Sent)
		if failed != nil {
			return failed
		}
		made, err = manager.Update(live, sent, asked.Manager)
	}
	if err != nil {
		return err
	}
	said.Result, err = json.Marshal(made)
	return err
}

// patched is what a server makes of a strategic merge patch: the object is read into its type afterwards.
func patched(kind schema.GroupVersionKind, live, patch []byte) ([]byte, error) {
	typed, err := scheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	made, err := strategicpatch.StrategicMergePatch(live, patch, typed)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(made, typed); err != nil {
		return nil, fmt.Errorf("conform: %w", err)
	}
	return json.Marshal(typed)
}

func decode(kind schema.GroupVersionKind, data []byte) (runtime.Object, error) {
	object, err := scheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, object); err != nil {
			return nil, err
		}
	}
	object.GetObjectKind().SetGroupVersionKind(kind)
	return object, nil
}

// fieldManagers are made once for each kind.
type fieldManagers struct {
	converter managedfields.TypeConverter
	made      map[schema.GroupVersionKind]*managedfields.FieldManager
}

func (all *fieldManagers) of(kind schema.GroupVersionKind) (*managedfields.FieldManager, error) {
	if manager := all.made[kind]; manager != nil {
		return manager, nil
	}
	manager, err := managedfields.NewDefaultFieldManager(
		all.converter, oneVersion{}, defaults{}, creater{}, kind, kind.GroupVersion(), "", nil)
	if err != nil {
		return nil, err
	}
	if all.made == nil {
		all.made = map[schema.GroupVersionKind]*managedfields.FieldManager{}
	}
	all.made[kind] = manager
	return manager, nil
}

// creater makes empty objects that say what they are: a server's converter knows that without.
type creater struct{}

func (creater) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	return decode(kind, nil)
}

// defaults: there are none here, as in what is compared with.
type defaults struct{}

func (defaults) Default(runtime.Object) {}

// oneVersion converts between the forms of an object of one version only.
type oneVersion struct{}

func (oneVersion) Convert(in, out, _ any) error {
	return scheme.Scheme.Convert(in, out, nil)
}

func (oneVersion) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	kind := in.GetObjectKind().GroupVersionKind()
	if wanted, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{kind}); ok && wanted != kind {
		return nil, fmt.Errorf("there is one version here, not %v", wanted)
	}
	loose, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in, nil
	}
	typed, err := scheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(loose.Object, typed, false); err != nil {
		return nil, err
	}
	typed.GetObjectKind().SetGroupVersionKind(kind)
	return typed, nil
}

func (oneVersion) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}
