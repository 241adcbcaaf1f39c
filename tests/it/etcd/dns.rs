//! The VPC's resolver: answers what the cluster's private zone holds, and nothing else.
//! Form of messages: RFC 1035, 4.1; SRV: RFC 2782.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

const A: u16 = 1;
const SRV: u16 = 33;
/// RFC 1035, 4.1.1: no such name.
const NAME_ERROR: u16 = 3;

/// Values by name and type.
pub(crate) type Records = BTreeMap<(String, u16), Vec<String>>;

/// Record types by their names in Route53.
pub(crate) fn type_of(name: &str) -> u16 {
    match name {
        "A" => A,
        "SRV" => SRV,
        other => panic!("no record type that the tests know: {other}"),
    }
}

/// Answers for as long as the process lives.
pub(crate) fn serve(address: Ipv4Addr, records: Records) {
    let socket = UdpSocket::bind((address, 53)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..length], &records) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
}

fn answer(question: &[u8], records: &Records) -> Option<Vec<u8>> {
    let (name, end) = read_name(question, 12)?;
    let kind = u16::from_be_bytes([*question.get(end)?, *question.get(end + 1)?]);
    let question_end = end + 4;
    let values = records.get(&(name.clone(), kind)).map(Vec::as_slice).unwrap_or_default();
    let is_known = records.keys().any(|(known, _)| *known == name);
    let code = if is_known { 0 } else { NAME_ERROR };
    let mut message = question.get(..2)?.to_vec();
    // An answer, with authority, recursion asked for and there.
    message.extend((0x8580 | code).to_be_bytes());
    message.extend(1_u16.to_be_bytes());
    message.extend((values.len() as u16).to_be_bytes());
    message.extend([0; 4]);
    message.extend(question.get(12..question_end)?);
    for value in values {
        let data = data(kind, value);
        message.extend(0xc00c_u16.to_be_bytes());
        message.extend(kind.to_be_bytes());
        message.extend(1_u16.to_be_bytes());
        message.extend(60_u32.to_be_bytes());
        message.extend((data.len() as u16).to_be_bytes());
        message.extend(data);
    }
    Some(message)
}

fn data(kind: u16, value: &str) -> Vec<u8> {
    if kind == A {
        return value.parse::<Ipv4Addr>().unwrap().octets().to_vec();
    }
    let [priority, weight, port, target] = value.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let numbers = [priority, weight, port].map(|number: &str| number.parse::<u16>().unwrap());
    let mut data: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    for label in target.split('.') {
        data.push(label.len() as u8);
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return Some((labels.join(".").to_ascii_lowercase(), at + 1));
        }
        let label = message.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        at += 1 + length;
    }
}
