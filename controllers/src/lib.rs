//! The controllers of the control plane, one file (or folder) each. [`run`] starts all of them over shared informers.
//!
//! A new controller is a file with a [`reconcile::Controller`] and a line in [`start`]. Those that must ask the server while
//! they decide (`namespace`, `garbagecollector`) implement [`reconcile::Reconciler`] instead, around a pure core. `common` has
//! what several decide alike, `discovery` what the server has.

pub mod admissionpolicies;
pub mod certificates;
pub mod clusterroleaggregation;
pub mod common;
pub mod cronjob;
pub mod customresourcedefinition;
pub mod deployment;
pub mod discovery;
pub mod disruption;
pub mod endpoints;
pub mod endpointslicemirroring;
pub mod endpointslices;
pub mod garbagecollector;
pub mod job;
pub mod namespace;
pub mod nodeipam;
pub mod nodelifecycle;
pub mod podgc;
pub mod pvcbinding;
pub mod pvcprotection;
pub mod pvphase;
pub mod pvprotection;
pub mod replicaset;
pub mod replicationcontroller;
pub mod resourcequota;
pub mod rootca;
pub mod serviceaccount;
pub mod storage;
pub mod tainteviction;
pub mod tokencleaner;
pub mod ttlafterfinished;
pub mod vacprotection;

use kube::Client;
use reconcile::Manager;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Debug, Default)]
pub struct Config {
    /// PEM; what pods verify the API server by.
    pub root_ca: String,
    pub node_lifecycle: nodelifecycle::Config,
    /// `None`: nodes come with their ranges of pod addresses.
    pub node_ranges: Option<nodeipam::Config>,
    /// What makes volumes for claims, and deletes them.
    pub provisioners: storage::Provisioners,
    /// `None`: nobody signs certificates.
    pub certificates: Option<certificates::Config>,
}

/// Run all controllers until the cancellation, and then until what they are at is done.
pub async fn run(client: Client, config: Config, cancel: CancellationToken) {
    let manager = Manager::new(client, cancel);
    start(&manager, config);
    manager.run().await;
}

/// Register all controllers, for those who have a manager (and its informers and metrics) in hand.
pub fn start(manager: &Manager, config: Config) {
    manager.add(deployment::Deployments);
    manager.add(replicaset::ReplicaSets);
    manager.add(replicationcontroller::ReplicationControllers);
    manager.add(cronjob::CronJobs);
    manager.add(job::Jobs);
    manager.add(job::orphans::JobOrphans);
    manager.add(endpoints::Endpoints);
    manager.add(endpointslices::EndpointSlices);
    manager.add(endpointslicemirroring::EndpointSliceMirroring);
    manager.add(clusterroleaggregation::ClusterRoleAggregation);
    manager.add(serviceaccount::ServiceAccounts);
    manager.add(rootca::RootCa { certificates: config.root_ca });
    manager.add(nodelifecycle::NodeLifecycle::new(config.node_lifecycle));
    if let Some(config) = config.certificates {
        manager.add(certificates::Certificates::new(config));
    }
    if let Some(config) = config.node_ranges {
        manager.add(nodeipam::NodeIpam::new(config));
    }
    manager.add(tainteviction::TaintEviction::default());
    manager.add(podgc::PodGc::default());
    manager.add(admissionpolicies::AdmissionPolicies);
    manager.add(disruption::Disruptions);
    manager.add(pvphase::VolumePhases);
    manager.add(pvcbinding::ClaimBinding);
    manager.add(pvcprotection::ClaimProtection);
    manager.add(pvprotection::VolumeProtection);
    manager.add(customresourcedefinition::names::CustomResourceNames);
    manager.add(tokencleaner::TokenCleaner);
    manager.add(ttlafterfinished::TtlAfterFinished);
    manager.add(vacprotection::VacProtection);
    customresourcedefinition::start(manager);
    namespace::start(manager);
    storage::start(manager, &config.provisioners);
    resourcequota::start(manager);
    garbagecollector::start(manager);
}
