use super::*;
use crate::flow::Address;
use crate::nfnetlink::Request;

const NEW: u16 = 1 << 8;
const DELETE: u16 = 1 << 8 | 2;
const SEQUENCE: u32 = 9;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const INTERRUPTED: u16 = 0x10;

fn v4(last: u8) -> [u8; 4] {
    [10, 0, 0, last]
}

fn tuple(request: Request, kind: u16, ends: [u8; 2], protocol: u8, above: &[(u16, u16)]) -> Request {
    request.with_inner(kind, |inner| {
        let inner = inner.with_inner(1, |ip| ip.with(1, &v4(ends[0])).with(2, &v4(ends[1])));
        inner.with_inner(2, |proto| {
            above.iter().fold(proto.with(1, &[protocol]), |proto, &(kind, value)| match kind {
                5 | 6 => proto.with(kind, &[u8::try_from(value).unwrap()]),
                _ => proto.with(kind, &value.to_be_bytes()),
            })
        })
    })
}

fn counters(request: Request) -> Request {
    let four =
        |inner: Request, packets: u64| inner.with(1, &packets.to_be_bytes()).with(2, &(packets * 100).to_be_bytes());
    request.with_inner(9, |inner| four(inner, 3)).with_inner(10, |inner| four(inner, 2))
}

/// 10.0.0.1:1000 to 10.0.0.2:80, which in truth is 10.0.0.3:8080; the answer goes to 10.0.0.4:2000.
fn translated(kind: u16, protocol: u8) -> Request {
    let request = tuple(Request::new(kind, 0, 2), 1, [1, 2], protocol, &[(2, 1000), (3, 80)]);
    tuple(request, 2, [3, 4], protocol, &[(2, 8080), (3, 2000)])
}

fn bytes(mut request: Request) -> Vec<u8> {
    request.numbered(SEQUENCE).to_vec()
}

fn read(messages: &[Request], families: &[u8], zones: &[u16]) -> Reader {
    let mut reader = Reader::new([3; 8], families, zones);
    for message in messages {
        assert_eq!(reader.part(&bytes(message.clone()), SEQUENCE), Part::More);
    }
    reader
}

#[test]
fn the_ends_are_who_began_and_who_answers() {
    let reader = read(&[counters(translated(NEW, 6))], &[2], &[]);
    let [sighting] = reader.sightings.as_slice() else { unreachable!("{:?}", reader.sightings) };
    assert_eq!(sighting.ends, [Address::from_v4(v4(1)), Address::from_v4(v4(3))]);
    assert_eq!(sighting.ports, [1000, 8080, 8080, 1000]);
    assert_eq!(sighting.counters, [3, 300, 2, 200]);
    assert_eq!((sighting.protocol, sighting.zone, sighting.mark, sighting.has_start), (6, 0, 0, false));
}

#[test]
fn type_and_code_are_those_of_the_direction_and_keys_are_no_ports() {
    let request = tuple(Request::new(NEW, 0, 2), 1, [1, 2], 1, &[(4, 77), (5, 8), (6, 0)]);
    let echo = tuple(request, 2, [2, 1], 1, &[(4, 77), (5, 0), (6, 0)]);
    let reader = read(&[counters(echo), counters(translated(NEW, 47))], &[2], &[]);
    let ports: Vec<_> = reader.sightings.iter().map(|sighting| sighting.ports).collect();
    assert_eq!(ports, [[8, 0, 0, 0], [0; 4]]);
}

#[test]
fn what_is_not_wanted_is_passed_over_and_what_has_no_counters_is_counted() {
    let zoned = |zone: u16| counters(translated(NEW, 17)).with(18, &zone.to_be_bytes());
    assert_eq!(read(&[zoned(5), zoned(6), counters(translated(NEW, 17))], &[2], &[6]).sightings.len(), 1);
    assert_eq!(read(&[zoned(0), counters(translated(NEW, 17))], &[2, 10], &[0]).sightings.len(), 2);
    assert_eq!(read(&[zoned(5)], &[10], &[]).sightings.len(), 0);
    let reader = read(&[translated(NEW, 17)], &[2], &[]);
    assert_eq!((reader.uncounted, reader.sightings.len()), (1, 0));
}

#[test]
fn flows_differ_by_id_zone_start_and_ends() {
    let start = |ns: u64| move |inner: Request| inner.with(1, &ns.to_be_bytes());
    let plain = || counters(translated(NEW, 17));
    let flows = [
        plain(),
        plain().with(12, &[0, 0, 0, 1]),
        plain().with(18, &[0, 1]),
        plain().with_inner(20, start(5)),
        plain().with_inner(20, start(6)),
        counters(translated(NEW, 6)),
        counters(tuple(translated(NEW, 17), 1, [1, 9], 17, &[(2, 1000), (3, 80)])),
    ];
    let reader = read(&flows, &[2], &[]);
    let mut hashes: Vec<_> = reader.sightings.iter().map(|sighting| sighting.hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), flows.len());
    // What they counted, and where the answer goes, is of no consequence.
    let again = read(&[translated(NEW, 17).with_inner(9, |inner| inner).with_inner(10, |inner| inner)], &[2], &[]);
    assert_eq!(again.sightings.first().map(|one| one.hash), reader.sightings.first().map(|one| one.hash));
}

#[test]
fn events_are_the_ends_of_flows() {
    let mut reader = Reader::new([3; 8], &[2], &[]);
    assert_eq!(reader.event(&bytes(counters(translated(DELETE, 17)))), 1);
    assert_eq!(reader.event(&bytes(counters(translated(NEW, 17)))), 0);
    assert_eq!((reader.sightings.len(), reader.malformed), (1, 0));
    assert_eq!(reader.event(&bytes(Request::new(DELETE, 0, 2))), 1);
    let whole = bytes(counters(translated(DELETE, 17)));
    assert_eq!(reader.event(&whole[..whole.len() - 8]), 0);
    assert_eq!((reader.sightings.len(), reader.malformed), (1, 2));
}

#[test]
fn a_dump_ends_with_its_end_is_refused_or_does_not_hold_together() {
    let mut reader = Reader::new([3; 8], &[2], &[]);
    let end = |kind: u16, errno: i32| {
        let mut message = 20_u32.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([2, 0]);
        message.extend(SEQUENCE.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(errno.to_ne_bytes());
        message
    };
    assert_eq!(reader.part(&end(DONE, 0), SEQUENCE), Part::Last);
    assert_eq!(reader.part(&end(ERROR, -1), SEQUENCE), Part::Refused(1));
    assert_eq!(reader.part(&end(DONE, 0), SEQUENCE + 1), Part::More, "of another request");
    assert!(!reader.interrupted);
    let flagged = counters(translated(NEW, 17));
    let mut flagged = bytes(flagged);
    flagged[6] |= u8::try_from(INTERRUPTED).unwrap();
    assert_eq!(reader.part(&flagged, SEQUENCE), Part::More);
    assert!(reader.interrupted);
}
