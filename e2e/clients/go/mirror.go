package main

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	workers = 2
	prefix  = "mirror-"
	label   = "mirror"
)

type queue = workqueue.TypedRateLimitingInterface[string]

// A reconciler: the Secret of a ConfigMap has the same value, or is not there either.
type mirror struct {
	client kubernetes.Interface
	lister listers.ConfigMapLister
	// Of this term; nil while another process leads.
	queue atomic.Pointer[queue]
}

func newMirror(client kubernetes.Interface, lister listers.ConfigMapLister) *mirror {
	return &mirror{client: client, lister: lister}
}

func (m *mirror) handler() cache.ResourceEventHandler {
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			m.enqueue(key)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
		DeleteFunc: enqueue,
	}
}

func (m *mirror) enqueue(key string) {
	if queue := m.queue.Load(); queue != nil {
		(*queue).Add(key)
	}
}

// Works until the term ends.
func (m *mirror) work(term context.Context) {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	m.queue.Store(&queue)
	context.AfterFunc(term, func() {
		m.queue.Store(nil)
		queue.ShutDown()
	})
	m.enqueueAll(term)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for key, over := queue.Get(); !over; key, over = queue.Get() {
				m.reconcile(term, queue, key)
			}
		})
	}
	running.Wait()
}

// What is there and what is left of what was there: nobody else may have looked after it before this term.
func (m *mirror) enqueueAll(term context.Context) {
	sources, _ := m.lister.ConfigMaps(namespace).List(labels.Everything())
	for _, source := range sources {
		m.enqueue(namespace + "/" + source.Name)
	}
	mirrors, err := m.client.CoreV1().Secrets(namespace).List(term, metav1.ListOptions{LabelSelector: label + "=yes"})
	if err != nil {
		klog.ErrorS(err, "mirrors are not listed")
		return
	}
	for _, mirror := range mirrors.Items {
		m.enqueue(namespace + "/" + strings.TrimPrefix(mirror.Name, prefix))
	}
}

func (m *mirror) reconcile(term context.Context, queue queue, key string) {
	defer queue.Done(key)
	if err := m.sync(term, key); err != nil {
		klog.V(1).InfoS("not yet", "key", key, "err", err)
		queue.AddRateLimited(key)
		return
	}
	queue.Forget(key)
}

func (m *mirror) sync(term context.Context, key string) error {
	_, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	secrets := m.client.CoreV1().Secrets(namespace)
	source, err := m.lister.ConfigMaps(namespace).Get(name)
	if errors.IsNotFound(err) {
		err = secrets.Delete(term, prefix+name, metav1.DeleteOptions{})
		if errors.IsNotFound(err) {
			return nil
		}
		return err
	}
	if err != nil {
		return err
	}
	wanted := map[string]string{value: source.Annotations[value]}
	secret, err := secrets.Get(term, prefix+name, metav1.GetOptions{})
	if errors.IsNotFound(err) {
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Name:        prefix + name,
			Labels:      map[string]string{label: "yes"},
			Annotations: wanted,
		}}
		_, err = secrets.Create(term, secret, metav1.CreateOptions{})
		return err
	}
	if err != nil || maps.Equal(secret.Annotations, wanted) {
		return err
	}
	secret.Annotations = wanted
	_, err = secrets.Update(term, secret, metav1.UpdateOptions{})
	return err
}
