//! The Ruby extension of `tasker_core`: values across the border, nothing decided here.

#![allow(missing_docs, reason = "the only public item is the one that magnus::init writes")]

mod borrowed;
mod client;
mod errors;
mod json;
mod large_text;
mod nogvl;
#[cfg(feature = "panics")]
mod panics;
mod runtime;
mod worker;

use magnus::value::ReprValue;
use magnus::{Class, Error, Module, Object, Ruby, function, method};

use client::Client;
use errors::guard;
use large_text::LargeText;
use tasker_core::{Event, StepState, TaskState};
use worker::Worker;

/// Longest part of a caller's word for something that a message repeats, in characters.
const LONGEST_NAME: usize = 80;

/// The normalised JSON of a template that can be registered.
fn check_template(ruby: &Ruby, json: magnus::RString) -> Result<String, Error> {
    guard(ruby, || {
        let json = json::text(ruby, json)?;
        let template = tasker_core::TaskTemplate::from_json(&json)
            .and_then(|template| template.check_registrable().map(|_| template))
            .map_err(|error| errors::raise(ruby, &error.into()))?;
        Ok(template.to_json())
    })
}

/// Checks that JSON text can be stored.
fn check_json(ruby: &Ruby, json: magnus::RString, what: magnus::RString) -> Result<(), Error> {
    guard(ruby, || {
        let json = json::text(ruby, json)?;
        let limits = tasker_core::json::JsonLimits::CONTEXT;
        let what = json::text(ruby, what)?.chars().take(LONGEST_NAME).collect();
        tasker_core::json::check(&json, limits)
            .map_err(|source| errors::raise(ruby, &tasker_core::Error::Json { what, source }))
    })
}

/// Strings as Ruby keeps constants: frozen, in a frozen array.
fn names(ruby: &Ruby, all: impl IntoIterator<Item = impl ToString>) -> magnus::RArray {
    let names = all.into_iter().map(|name| {
        let name = ruby.str_new(&name.to_string());
        name.freeze();
        name
    });
    let names = ruby.ary_from_iter(names);
    names.freeze();
    names
}

/// Writes the library's log to standard error when `TASKER_LOG` says which, such as `info` or
/// `tasker_core=debug`.
fn log() {
    if let Ok(filter) = std::env::var("TASKER_LOG") {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // A process that has a subscriber already keeps it.
        let _ = log.try_init();
    }
}

#[magnus::init(name = "tasker_core")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    log();
    runtime::watch_forks();
    let bridge =
        ruby.define_module("TaskerCore")?.define_module("Internal")?.define_module("Bridge")?;
    bridge.define_singleton_method("check_template", function!(check_template, 1))?;
    bridge.define_singleton_method("check_json", function!(check_json, 2))?;
    #[cfg(feature = "panics")]
    {
        bridge.define_singleton_method("panic_with_gvl", function!(panics::with_gvl, 0))?;
        bridge.define_singleton_method("panic_without_gvl", function!(panics::without_gvl, 0))?;
        bridge.define_singleton_method("panic_in", function!(panics::in_part, 1))?;
    }
    bridge.const_set("SCHEMA_VERSION", tasker_core::SCHEMA_VERSION)?;
    bridge.const_set("STEP_INDEX_BITS", tasker_core::ids::STEP_INDEX_BITS)?;
    bridge.const_set("EVENT_NAMES", names(ruby, Event::names()))?;
    bridge.const_set("STEP_STATES", names(ruby, StepState::ALL))?;
    bridge.const_set("TASK_STATES", names(ruby, TaskState::ALL))?;

    let client = bridge.define_class("Client", ruby.class_object())?;
    client.undef_default_alloc_func();
    client.define_singleton_method("connect", function!(Client::connect, 1))?;
    client.define_method("migrate", method!(Client::migrate, 1))?;
    client.define_method("schema_version", method!(Client::schema_version, 0))?;
    client.define_method("register_template", method!(Client::register_template, 1))?;
    client.define_method("templates", method!(Client::templates, 0))?;
    client.define_method("submit", method!(Client::submit, 1))?;
    client.define_method("submit_within", method!(Client::submit_within, 1))?;
    client.define_method("status", method!(Client::status, 1))?;
    client.define_method("result", method!(Client::result, 2))?;
    client.define_method("items", method!(Client::items, 4))?;
    client.define_method("opened", method!(Client::opened, 3))?;
    client.define_method("cancel", method!(Client::cancel, 3))?;
    client.define_method("pause", method!(Client::pause, 3))?;
    client.define_method("resume", method!(Client::resume, 3))?;
    client.define_method("retry", method!(Client::retry, 5))?;
    client.define_method("compensate", method!(Client::compensate, 3))?;
    client.define_method("skip", method!(Client::skip, 5))?;
    client.define_method("rerun", method!(Client::rerun, 4))?;
    client.define_method("resolve", method!(Client::resolve, 7))?;
    client.define_method("raise_budget", method!(Client::raise_budget, 4))?;
    client.define_method("signal", method!(Client::signal, 2))?;
    client.define_method("fork", method!(Client::fork, 2))?;
    client.define_method("correlated_tasks", method!(Client::correlated_tasks, 2))?;
    client.define_method("explain", method!(Client::explain, 2))?;
    client.define_method("artifacts", method!(Client::artifacts, 2))?;
    client.define_method("list", method!(Client::list, 1))?;
    client.define_method("failures", method!(Client::failures, 1))?;
    client.define_method("step_states", method!(Client::step_states, 1))?;
    client.define_method("compare_templates", method!(Client::compare_templates, 1))?;
    client.define_method("workers", method!(Client::workers, 0))?;
    client.define_method("open_feed", method!(Client::open_feed, 1))?;
    client.define_method("read_feed", method!(Client::read_feed, 1))?;
    client.define_method("move_feed", method!(Client::move_feed, 1))?;
    client.define_method("forget_feed", method!(Client::forget_feed, 1))?;
    client.define_method("prune", method!(Client::prune, 1))?;
    client.define_method("doctor", method!(Client::doctor, 1))?;
    client.define_method("close", method!(Client::close, 0))?;

    let large_text = bridge.define_class("LargeText", ruby.class_object())?;
    large_text.undef_default_alloc_func();
    large_text.define_method("to_str", method!(LargeText::to_str, 0))?;

    let worker = bridge.define_class("Worker", ruby.class_object())?;
    worker.undef_default_alloc_func();
    worker.define_singleton_method("start", function!(Worker::start, 1))?;
    worker.define_method("id", method!(Worker::id, 0))?;
    worker.define_method("next_step", method!(Worker::next_step, 1))?;
    worker.define_method("take_notice", method!(Worker::take_notice, 0))?;
    worker.define_method("record_events", method!(Worker::record_events, 1))?;
    worker.define_method("next_events", method!(Worker::next_events, 2))?;
    worker.define_method("give_up_events", method!(Worker::give_up_events, 1))?;
    worker.define_method("template_of", method!(Worker::template_of, 1))?;
    worker.define_method("step_name", method!(Worker::step_name, 1))?;
    worker.define_method("attach", method!(Worker::attach, 3))?;
    worker.define_method("succeed", method!(Worker::succeed, 4))?;
    worker.define_method("decide", method!(Worker::decide, 5))?;
    worker.define_method("grow", method!(Worker::grow, 5))?;
    worker.define_method("check_connection", method!(Worker::check_connection, 0))?;
    worker.define_method("record_end", method!(Worker::record_end, 5))?;
    worker.define_method("end_recorded", method!(Worker::end_recorded, 4))?;
    worker.define_method("items_of", method!(Worker::items_of, 4))?;
    worker.define_method("fail", method!(Worker::fail, 4))?;
    worker.define_method("wait", method!(Worker::wait, 4))?;
    worker.define_method("current", method!(Worker::is_current, 2))?;
    worker.define_method("relieve", method!(Worker::relieve, 2))?;
    worker.define_method("spend", method!(Worker::spend, 3))?;
    worker.define_method("checkpoint", method!(Worker::checkpoint, 3))?;
    worker.define_method("look_at_wait", method!(Worker::look_at_wait, 3))?;
    worker.define_method("run_workflow", method!(Worker::run_workflow, 3))?;
    worker.define_method("template", method!(Worker::template, 1))?;
    worker.define_method("step_definition", method!(Worker::step_definition, 2))?;
    worker.define_method("step_names", method!(Worker::step_names, 1))?;
    worker.define_method("results_of", method!(Worker::results_of, 2))?;
    worker.define_method("state_of", method!(Worker::state_of, 2))?;
    worker.define_method("drain", method!(Worker::drain, 0))?;
    worker.define_method("stop", method!(Worker::stop, 1))?;
    worker.define_method("hurry", method!(Worker::hurry, 1))?;
    worker.define_method("stats", method!(Worker::stats, 0))?;
    Ok(())
}
