//! What CloudWatch would tell of each load balancer, under the words that it has for it.
//!
//! All of it is counted by the load balancer's target group, which lives as long as it does: so nothing is taken back
//! when a listener or an instance goes.

use super::{Exposition, surge_queue_length};
use crate::model::LoadBalancer;
use crate::state::{Member, Pool, Snapshot, TargetState, Verdict};
use crate::telemetry::{CodeClass, Counter, GroupCells, Histogram, names};

/// The words of CloudWatch for the classes that instances answer with, in the order of [`CodeClass::LABELS`].
const BACKEND_CLASSES: [Option<&str>; CodeClass::LABELS.len()] =
    [None, Some("2XX"), Some("3XX"), Some("4XX"), Some("5XX")];

pub(super) fn samples(out: &mut Exposition, snapshot: &Snapshot) {
    for held in snapshot.config.load_balancers.values() {
        if let Some(pool) = snapshot.pool_of(&held.wanted.target_group) {
            load_balancer_samples(out, snapshot, &held.wanted, pool);
        }
    }
}

fn load_balancer_samples(out: &mut Exposition, snapshot: &Snapshot, wanted: &LoadBalancer, pool: &Pool) {
    let labels = [&*wanted.id.account, &*wanted.id.region, &*wanted.id.name];
    let metrics = &pool.metrics;
    let sum = |counter: fn(&GroupCells) -> &Counter| metrics.workers.sum(counter);
    let (answers, own) = by_class(pool);
    let connects: u64 = metrics.workers.iter().map(|cells| cells.target_connect.count()).sum();
    let requests = answers.iter().sum::<u64>() + sum(|cells| &cells.unanswered);
    let connect_errors = sum(|cells| &cells.failed_connects) + metrics.probes_unconnected.get();
    out.add(names::ELB_REQUESTS, &labels, (requests + connects) as f64);
    let latencies: Vec<&Histogram> =
        metrics.workers.iter().flat_map(|cells| [&cells.target_response, &cells.target_connect]).collect();
    out.add_histogram(names::ELB_LATENCY, &labels, &latencies);
    out.add(names::ELB_BACKEND_CONNECTION_ERRORS, &labels, connect_errors as f64);
    out.add(names::ELB_SURGE_QUEUE_LENGTH, &labels, surge_queue_length(pool));
    out.add(names::ELB_SPILLOVER, &labels, sum(|cells| &cells.spillover) as f64);
    host_samples(out, &labels, &pool.members);

    let noncompliant = sum(|cells| &cells.noncompliant);
    let listeners = wanted.listeners.iter().filter_map(|name| snapshot.frontends.get(name));
    let has_http = listeners.into_iter().any(|frontend| !frontend.pool.is_stream());
    // What has been counted stays although the last listener of its kind goes.
    if has_http || requests + own.iter().sum::<u64>() + noncompliant > 0 {
        let [account, region, name] = labels;
        for (class, count) in BACKEND_CLASSES.iter().zip(answers) {
            if let Some(class) = class {
                out.add(names::ELB_CODE_BACKEND, &[account, region, name, class], count as f64);
            }
        }
        for (class, count) in BACKEND_CLASSES.iter().zip(own).skip(3) {
            if let Some(class) = class {
                out.add(names::ELB_CODE_ELB, &[account, region, name, class], count as f64);
            }
        }
        out.add(names::ELB_NONCOMPLIANT, &labels, noncompliant as f64);
    }
}

/// How many answers instances and elbow itself have made, by class.
fn by_class(pool: &Pool) -> ([u64; CodeClass::LABELS.len()], [u64; CodeClass::LABELS.len()]) {
    let (mut answers, mut own) = Default::default();
    let add = |sums: &mut [u64; CodeClass::LABELS.len()], counts: [u64; CodeClass::LABELS.len()]| {
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    };
    for cells in pool.metrics.workers.iter() {
        add(&mut answers, cells.answers.get());
        add(&mut own, cells.lb_responses.get());
    }
    (answers, own)
}

/// Instances that are registered, by state; nothing, while there is none.
fn host_samples(out: &mut Exposition, labels: &[&str], members: &[Member]) {
    let registered = || members.iter().filter(|member| member.leaves_at.is_none());
    let is_healthy = |member: &&Member| match member.state {
        TargetState::Healthy => true,
        TargetState::Draining => member.verdict == Verdict::Healthy,
        _ => false,
    };
    let (all, healthy) = (registered().count(), registered().filter(is_healthy).count());
    if all > 0 {
        out.add(names::ELB_HEALTHY_HOSTS, labels, healthy as f64);
        out.add(names::ELB_UNHEALTHY_HOSTS, labels, (all - healthy) as f64);
    }
}
