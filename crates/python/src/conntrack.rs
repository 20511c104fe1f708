//! Connection tracking.

use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use netledger_core::conntrack::filter::{Ends, Filter, Masked, Prefix};
use netledger_core::conntrack::requests::Named;
use netledger_core::conntrack::state::State as CoreState;
use netledger_core::conntrack::{Counters, IPV4, Occasion, Transport, Tuple};
use netledger_core::error::Error;
use netledger_core::flow::Address;
use netledger_core::sources::ctnetlink::dump::{Dump, List};
use netledger_core::sources::ctnetlink::events::{Event, Events, Subscription, Waited};
use netledger_core::sources::ctnetlink::{Ctnetlink, Kept, KeptExpectation};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::raise;

/// Signals that come between two looks are handled this much later at most.
const SIGNALS: Duration = Duration::from_millis(250);

/// Ports; type, code and id of ICMP.
type Above = (Option<u16>, Option<u16>, Option<u8>, Option<u8>, Option<u16>);
/// Source, destination, protocol, what is above it, zone, packets and bytes.
type Direction<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, u8, Above, Option<u16>, Option<u64>, Option<u64>);
/// Status, timeout, mark, zone, id, use; the state, its number, tags of SCTP.
type Numbers = (Option<u32>, Option<u32>, Option<u32>, Option<u16>, Option<u32>, Option<u32>);
type State = (Option<&'static str>, Option<u8>, Option<(u32, u32)>);
/// Start, stop, event.
type Times = (Option<u64>, Option<u64>, Option<u64>);
/// Labels, helper, security context.
type Texts<'py> = (Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>);
/// Family, both directions, numbers, state, times, texts, and the direction of the master.
type Told<'py> = (u8, Direction<'py>, Direction<'py>, Numbers, State, Times, Texts<'py>, Option<Direction<'py>>);
/// Flow, kind, port; or overruns and dropped messages.
type Happened<'py> = (Option<(Told<'py>, u8, u32)>, Option<(u64, u64)>);
/// Family, three directions, timeout, id, zone, flags, class, helper, function.
type Expected<'py> = (
    u8,
    (Direction<'py>, Direction<'py>, Direction<'py>),
    (Option<u32>, Option<u32>, Option<u16>, Option<u32>, Option<u32>),
    (Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>),
);
/// Family, address, prefix length.
type Network = (u8, Vec<u8>, u8);
/// Source, destination, ports; type, code and id of ICMP.
type WantedEnds = (Option<Network>, Option<Network>, Option<u16>, Option<u16>, Option<u8>, Option<u8>, Option<u16>);
/// Family, protocol, mark and mask, status and mask, zone, original, reply.
type Wanted = (Option<u8>, Option<u8>, Option<(u32, u32)>, Option<(u32, u32)>, Option<u16>, WantedEnds, WantedEnds);
/// Family, source, destination, protocol, what is above it, zone of the direction, zone.
type Name = (u8, Vec<u8>, Vec<u8>, u8, Above, Option<u16>, Option<u16>);

fn octets(py: Python<'_>, family: u8, address: Address) -> Bound<'_, PyBytes> {
    if family == IPV4 {
        PyBytes::new(py, &address.low32().to_be_bytes())
    } else {
        PyBytes::new(py, &address.0.to_be_bytes())
    }
}

fn address(octets: &[u8]) -> Address {
    match <[u8; 4]>::try_from(octets) {
        Ok(octets) => Address::from_v4(octets),
        Err(_) => Address::from_v6(<[u8; 16]>::try_from(octets).unwrap_or_default()),
    }
}

fn direction<'py>(py: Python<'py>, family: u8, tuple: &Tuple, counters: Option<Counters>) -> Direction<'py> {
    let above = match tuple.transport {
        Transport::Bare => (None, None, None, None, None),
        Transport::Ports { source, destination } => (Some(source), Some(destination), None, None, None),
        Transport::Icmp { kind, code, identifier } => (None, None, Some(kind), Some(code), Some(identifier)),
    };
    let (packets, bytes) = counters.map(|counters| (counters.packets, counters.bytes)).unzip();
    let (source, destination) = (octets(py, family, tuple.source), octets(py, family, tuple.destination));
    (source, destination, tuple.protocol, above, tuple.zone, packets, bytes)
}

fn bytes(py: Python<'_>, text: Option<Vec<u8>>) -> Option<Bound<'_, PyBytes>> {
    text.map(|text| PyBytes::new(py, &text))
}

fn told(py: Python<'_>, kept: Kept) -> Told<'_> {
    let flow = kept.flow;
    (
        flow.family,
        direction(py, flow.family, &flow.original, flow.original_counters),
        direction(py, flow.family, &flow.reply, flow.reply_counters),
        (flow.status, flow.timeout_seconds, flow.mark, flow.zone, flow.id, flow.uses),
        (
            flow.state.and_then(CoreState::name),
            flow.state.map(CoreState::number),
            flow.verification_tags.map(|[original, reply]| (original, reply)),
        ),
        (flow.start_ns, flow.stop_ns, flow.event_ns),
        (bytes(py, kept.labels), bytes(py, kept.helper), bytes(py, kept.security_context)),
        flow.master.map(|master| direction(py, flow.family, &master, None)),
    )
}

fn expected(py: Python<'_>, kept: KeptExpectation) -> Expected<'_> {
    let expectation = kept.expectation;
    let told = |tuple: &Tuple| direction(py, expectation.family, tuple, None);
    (
        expectation.family,
        (told(&expectation.tuple), told(&expectation.mask), told(&expectation.master)),
        (expectation.timeout_seconds, expectation.id, expectation.zone, expectation.flags, expectation.class),
        (bytes(py, kept.helper), bytes(py, kept.function)),
    )
}

fn ends(wanted: WantedEnds) -> Ends {
    let (source, destination, source_port, destination_port, icmp_kind, icmp_code, icmp_identifier) = wanted;
    let prefix = |network: Option<Network>| {
        network.map(|(family, octets, length)| Prefix::new(family, address(&octets), length))
    };
    Ends {
        source: prefix(source),
        destination: prefix(destination),
        source_port,
        destination_port,
        icmp_kind,
        icmp_code,
        icmp_identifier,
    }
}

fn filter(wanted: Wanted) -> Filter {
    let (family, protocol, mark, status, zone, original, reply) = wanted;
    let masked = |number: Option<(u32, u32)>| number.map(|(value, mask)| Masked { value, mask });
    Filter {
        family,
        protocol,
        mark: masked(mark),
        status: masked(status),
        zone,
        original: ends(original),
        reply: ends(reply),
    }
}

fn named(name: &Name) -> Named {
    let (family, source, destination, protocol, above, tuple_zone, zone) = name;
    let transport = match *above {
        (Some(source), Some(destination), ..) => Transport::Ports { source, destination },
        (_, _, Some(kind), Some(code), Some(identifier)) => Transport::Icmp { kind, code, identifier },
        _ => Transport::Bare,
    };
    let (source, destination) = (address(source), address(destination));
    let tuple = Tuple { source, destination, protocol: *protocol, transport, zone: *tuple_zone };
    Named { family: *family, tuple, zone: *zone }
}

fn ask<T: Send>(py: Python<'_>, ask: impl FnOnce(&mut Ctnetlink) -> Result<T, Error> + Send) -> PyResult<T> {
    py.detach(|| Ctnetlink::open().and_then(|mut ctnetlink| ask(&mut ctnetlink))).map_err(raise)
}

#[pyfunction]
pub(crate) fn conntrack_get(py: Python<'_>, name: Name, zero: bool) -> PyResult<Told<'_>> {
    let flow = named(&name);
    let kept = ask(py, |ctnetlink| if zero { ctnetlink.zero(&flow) } else { ctnetlink.get(&flow) })?;
    Ok(told(py, kept))
}

#[pyfunction]
pub(crate) fn conntrack_delete(py: Python<'_>, name: Name, id: Option<u32>) -> PyResult<()> {
    ask(py, |ctnetlink| ctnetlink.delete(&named(&name), id))
}

#[pyfunction]
pub(crate) fn conntrack_flush(py: Python<'_>, family: Option<u8>) -> PyResult<()> {
    ask(py, |ctnetlink| ctnetlink.flush(family))
}

/// How many flows there are, and may be.
#[pyfunction]
pub(crate) fn conntrack_count(py: Python<'_>) -> PyResult<(u32, Option<u32>)> {
    let count = ask(py, Ctnetlink::count)?;
    Ok((count.flows, count.flows_max))
}

/// Per processor its number and its counts, in the order of `CTA_STATS_...`.
#[pyfunction]
pub(crate) fn conntrack_statistics(py: Python<'_>) -> PyResult<Vec<(u16, Vec<Option<u32>>)>> {
    let all = ask(py, Ctnetlink::statistics)?;
    Ok(all.into_iter().map(|one| (one.processor, one.counts.to_vec())).collect())
}

#[pyfunction]
pub(crate) fn conntrack_expectations(py: Python<'_>, family: Option<u8>) -> PyResult<Vec<Expected<'_>>> {
    let all = ask(py, |ctnetlink| ctnetlink.expectations(family))?;
    Ok(all.into_iter().map(|one| expected(py, one)).collect())
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct ConntrackDump(Mutex<Dump>);

#[pymethods]
impl ConntrackDump {
    /// `list`: 0 the table, 1 dying flows, 2 unconfirmed ones.
    #[new]
    fn new(py: Python<'_>, list: u8, wanted: Wanted) -> PyResult<Self> {
        let list = match list {
            0 => List::Table,
            1 => List::Dying,
            _ => List::Unconfirmed,
        };
        py.detach(|| Dump::open(list, filter(wanted))).map(|dump| Self(Mutex::new(dump))).map_err(raise)
    }

    /// The flows of the next part; None at the end.
    fn part<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Told<'py>>>> {
        let part = py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).part()).map_err(raise)?;
        Ok(part.map(|flows| flows.into_iter().map(|flow| told(py, flow)).collect()))
    }
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct ConntrackEvents(Events);

fn happened(py: Python<'_>, event: Event) -> Happened<'_> {
    match event {
        Event::Flow { occasion, flow, port } => {
            let kind = match occasion {
                Occasion::New => 0,
                Occasion::Update => 1,
                Occasion::Destroy => 2,
            };
            (Some((told(py, *flow), kind, port)), None)
        }
        Event::Lost(loss) => (None, Some((loss.overruns, loss.dropped))),
    }
}

#[pymethods]
impl ConntrackEvents {
    /// `groups`: numbers of multicast groups.
    #[new]
    #[pyo3(signature = (groups, wanted, *, receive_buffer_bytes, reliable))]
    fn new(
        py: Python<'_>,
        groups: Vec<u32>,
        wanted: Wanted,
        receive_buffer_bytes: i32,
        reliable: bool,
    ) -> PyResult<Self> {
        let subscription = Subscription { groups, filter: filter(wanted), receive_buffer_bytes, reliable };
        py.detach(|| Events::open(&subscription)).map(Self).map_err(raise)
    }

    /// Some events in their order, none when the time is over; and whether it is closed.
    fn wait<'py>(&self, py: Python<'py>, timeout_milliseconds: Option<u64>) -> PyResult<(Vec<Happened<'py>>, bool)> {
        let deadline = timeout_milliseconds.and_then(|time| Instant::now().checked_add(Duration::from_millis(time)));
        loop {
            let left = deadline.map_or(SIGNALS, |deadline| deadline.saturating_duration_since(Instant::now()));
            match py.detach(|| self.0.wait(left.min(SIGNALS))).map_err(raise)? {
                Waited::Events(events) => {
                    return Ok((events.into_iter().map(|event| happened(py, event)).collect(), false));
                }
                Waited::Closed => return Ok((Vec::new(), true)),
                // The end of a slice, a signal, or events that another thread took.
                Waited::Nothing => py.check_signals()?,
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok((Vec::new(), false));
            }
        }
    }

    fn close(&self) {
        self.0.close();
    }

    fn fileno(&self) -> i32 {
        self.0.as_raw_fd()
    }
}
