// An operator as client-go's users write them: shared informers, a work queue, leader election by a Lease.
//
// It mirrors every ConfigMap with the label e2e=yes into a Secret "mirror-NAME", while it is the leader. On standard output it
// says, one JSON object a line, what its informers saw and when it began and ceased to lead. It ends when its input does, after
// saying what its caches hold.
package main

import (
	"context"
	"flag"
	"io"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

const (
	namespace = "default"
	lease     = "mirror"
	// As short as leader election allows with its retries: a test waits for it.
	leaseDuration = 4 * time.Second
	renewDeadline = 3 * time.Second
	retryPeriod   = 500 * time.Millisecond
)

func main() {
	id := flag.String("id", "a", "identity in the leader election")
	klog.InitFlags(nil)
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		klog.Fatal(err)
	}
	// As the controllers of Kubernetes itself: protobuf, and JSON where there is none.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.QPS, config.Burst = 200, 200
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	run(ctx, *id, config)
}

func run(ctx context.Context, id string, config *rest.Config) {
	client := kubernetes.NewForConfigOrDie(config)
	labelled := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "e2e=yes" }))
	opaque := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) {
			options.FieldSelector = fields.OneTermEqualSelector("type", "setpoint.dev/watched").String()
		}))
	seen := newReporter(id)
	maps := labelled.Core().V1().ConfigMaps()
	mirror := newMirror(client, maps.Lister())
	informed := map[string]cache.SharedIndexInformer{
		"ConfigMap":  maps.Informer(),
		"Deployment": labelled.Apps().V1().Deployments().Informer(),
		"Secret":     opaque.Core().V1().Secrets().Informer(),
	}
	for kind, informer := range informed {
		if _, err := informer.AddEventHandler(seen.handler(kind)); err != nil {
			klog.Fatal(err)
		}
	}
	if _, err := maps.Informer().AddEventHandler(mirror.handler()); err != nil {
		klog.Fatal(err)
	}
	for _, factory := range []informers.SharedInformerFactory{labelled, opaque} {
		factory.Start(ctx.Done())
		for _, synced := range factory.WaitForCacheSync(ctx.Done()) {
			if !synced {
				return
			}
		}
	}
	seen.say(line{Type: "SYNCED"})
	lead(ctx, id, client, seen, mirror)
	for kind, informer := range informed {
		seen.state(kind, informer.GetStore().List())
	}
	seen.say(line{Type: "END"})
}

// Until the context ends; a term that was lost is run for again.
func lead(ctx context.Context, id string, client kubernetes.Interface, seen *reporter, mirror *mirror) {
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, namespace, lease, client.CoreV1(), client.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: id})
	if err != nil {
		klog.Fatal(err)
	}
	for ctx.Err() == nil {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock:            lock,
			LeaseDuration:   leaseDuration,
			RenewDeadline:   renewDeadline,
			RetryPeriod:     retryPeriod,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(term context.Context) {
					seen.say(line{Type: "LEADING"})
					mirror.work(term)
				},
				OnStoppedLeading: func() { seen.say(line{Type: "FOLLOWING"}) },
			},
		})
	}
}
