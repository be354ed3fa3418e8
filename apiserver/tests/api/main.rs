//! The API server from outside: requests over the memory store.

mod aggregation;
mod apply;
mod audit;
mod clients;
mod conversions;
mod custom;
mod devices;
mod flowcontrol;
mod harness;
mod health;
mod hook;
mod kubectl;
mod limits;
mod lists;
mod managers;
mod model;
mod nodes;
mod policies;
mod proxies;
mod rbac;
mod reads;
mod shared;
mod subresources;
mod watches;
mod webhooks;
mod writes;
