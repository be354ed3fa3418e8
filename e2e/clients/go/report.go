package main

import (
	"encoding/json"
	"os"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/cache"
)

// The annotation in which a writer counts.
const value = "setpoint.dev/value"

// What is said about one object.
type line struct {
	Type     string `json:"type"`
	Kind     string `json:"kind,omitempty"`
	Name     string `json:"name,omitempty"`
	UID      string `json:"uid,omitempty"`
	Revision string `json:"revision,omitempty"`
	Value    string `json:"value,omitempty"`
	ID       string `json:"id"`
}

type reporter struct {
	id      string
	mutex   sync.Mutex
	encoder *json.Encoder
}

func newReporter(id string) *reporter {
	return &reporter{id: id, encoder: json.NewEncoder(os.Stdout)}
}

func (r *reporter) say(said line) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	said.ID = r.id
	_ = r.encoder.Encode(said)
}

// Every event. An update that is none, which a list makes of each object that is as it was, is not said.
func (r *reporter) handler(kind string) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { r.say(of("ADDED", kind, object)) },
		UpdateFunc: func(old, object any) {
			before, after := of("MODIFIED", kind, old), of("MODIFIED", kind, object)
			if before.Revision != after.Revision {
				r.say(after)
			}
		},
		DeleteFunc: func(object any) {
			said := "DELETED"
			if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
				// Missed, and found out by a list: the object is the last one that was seen.
				said, object = "MISSED", unknown.Obj
			}
			r.say(of(said, kind, object))
		},
	}
}

func (r *reporter) state(kind string, objects []any) {
	for _, object := range objects {
		r.say(of("STATE", kind, object))
	}
}

func of(said, kind string, object any) line {
	found, err := meta.Accessor(object)
	if err != nil {
		return line{Type: "ERROR", Kind: kind, Value: err.Error()}
	}
	return line{
		Type:     said,
		Kind:     kind,
		Name:     found.GetName(),
		UID:      string(found.GetUID()),
		Revision: found.GetResourceVersion(),
		Value:    found.GetAnnotations()[value],
	}
}
