//! A broker that does what the test says, packet by packet: enough of MQTT 5 to misbehave in the ways that were seen.
//! It has its own reader and writer, so that a mistake in the client's codec is not cancelled out by itself.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

/// How long a test waits for what has to come. Generous: it only bounds a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct ScriptedBroker {
    listener: TcpListener,
    pub port: u16,
}

/// The broker's end of one connection.
pub struct Peer {
    stream: TcpStream,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    Connect(Connect),
    Publish(Publish),
    PubAck {
        packet_id: u16,
    },
    /// Each filter with its options byte.
    Subscribe {
        packet_id: u16,
        filters: Vec<(String, u8)>,
    },
    PingReq,
    Disconnect {
        reason: u8,
    },
    Other(u8),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Connect {
    pub client_id: String,
    pub clean_start: bool,
    pub keep_alive: u16,
    pub properties: Properties,
    /// Topic, payload and delay in seconds.
    pub will: Option<(String, Vec<u8>, u32)>,
    pub user: Option<String>,
    pub password: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    pub topic: String,
    pub payload: Vec<u8>,
    /// 0 or 1.
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    pub packet_id: u16,
    pub properties: Properties,
}

/// Properties by their MQTT 5 identifier (§2.2.2.2): numbers, and texts or bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    pub numbers: Vec<(u8, u32)>,
    pub bytes: Vec<(u8, Vec<u8>)>,
}

pub const MESSAGE_EXPIRY: u8 = 2;
pub const RESPONSE_TOPIC: u8 = 8;
pub const CORRELATION_DATA: u8 = 9;
pub const SESSION_EXPIRY: u8 = 17;
pub const WILL_DELAY: u8 = 24;
pub const RECEIVE_MAXIMUM: u8 = 33;
pub const MAXIMUM_PACKET_SIZE: u8 = 39;
pub const SERVER_KEEP_ALIVE: u8 = 19;

impl ScriptedBroker {
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Small, so that a peer that does not read is soon felt.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    /// The next connection, before its CONNECT.
    pub async fn accept(&self) -> Peer {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("no connection came").unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream }
    }

    /// The next connection with CONNECT, CONNACK, SUBSCRIBE and SUBACK behind it.
    pub async fn accept_ready(&self, session_present: bool) -> Peer {
        let mut peer = self.accept().await;
        peer.expect_connect().await;
        peer.connack(session_present, 0, &Properties::default()).await;
        peer.accept_subscriptions().await;
        peer
    }
}

impl Peer {
    /// The next packet, or none when the client has closed the connection.
    pub async fn read(&mut self) -> Option<Packet> {
        tokio::time::timeout(PATIENCE, self.read_packet()).await.expect("no packet came")
    }

    /// The next packet that is no ping; pings are answered.
    pub async fn next(&mut self) -> Packet {
        loop {
            match self.read().await.expect("the client closed the connection") {
                Packet::PingReq => self.write(0xd0, &[]).await,
                packet => return packet,
            }
        }
    }

    pub async fn expect_connect(&mut self) -> Connect {
        match self.next().await {
            Packet::Connect(connect) => connect,
            other => panic!("expected CONNECT, not {other:?}"),
        }
    }

    pub async fn expect_publish(&mut self) -> Publish {
        match self.next().await {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH, not {other:?}"),
        }
    }

    /// Reads `n` publishes and acknowledges each.
    pub async fn take(&mut self, n: usize) -> Vec<String> {
        let mut payloads = Vec::new();
        while payloads.len() < n {
            let publish = self.expect_publish().await;
            self.puback(publish.packet_id, 0).await;
            payloads.push(String::from_utf8(publish.payload).unwrap());
        }
        payloads
    }

    pub async fn connack(&mut self, session_present: bool, reason: u8, properties: &Properties) {
        let mut body = vec![session_present.into(), reason];
        properties.write(&mut body);
        self.write(0x20, &body).await;
    }

    pub async fn accept_subscriptions(&mut self) -> Vec<(String, u8)> {
        let Packet::Subscribe { packet_id, filters } = self.next().await else { panic!("expected SUBSCRIBE") };
        self.suback(packet_id, &vec![1; filters.len()]).await;
        filters
    }

    pub async fn suback(&mut self, packet_id: u16, reasons: &[u8]) {
        let mut body = packet_id.to_be_bytes().to_vec();
        body.push(0);
        body.extend_from_slice(reasons);
        self.write(0x90, &body).await;
    }

    pub async fn puback(&mut self, packet_id: u16, reason: u8) {
        let mut body = packet_id.to_be_bytes().to_vec();
        if reason != 0 {
            body.extend_from_slice(&[reason, 0]);
        }
        self.write(0x40, &body).await;
    }

    pub async fn publish(&mut self, publish: &Publish) {
        let mut body = Vec::new();
        write_bytes(&mut body, publish.topic.as_bytes());
        if publish.qos != 0 {
            body.extend_from_slice(&publish.packet_id.to_be_bytes());
        }
        publish.properties.write(&mut body);
        body.extend_from_slice(&publish.payload);
        self.write(0x30 | u8::from(publish.dup) << 3 | publish.qos << 1 | u8::from(publish.retain), &body).await;
    }

    pub async fn disconnect(mut self, reason: u8) {
        self.write(0xe0, &[reason, 0]).await;
    }

    /// One packet of any kind. A client that is gone is the test's business only if it reads on.
    pub async fn write(&mut self, first_byte: u8, body: &[u8]) {
        let mut packet = vec![first_byte];
        write_variable(&mut packet, body.len());
        packet.extend_from_slice(body);
        let _ = self.stream.write_all(&packet).await;
    }

    async fn read_packet(&mut self) -> Option<Packet> {
        let first_byte = self.stream.read_u8().await.ok()?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.stream.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(parse(first_byte, Reader(&body)))
    }
}

fn parse(first_byte: u8, mut body: Reader<'_>) -> Packet {
    match first_byte >> 4 {
        1 => Packet::Connect(parse_connect(body)),
        3 => {
            let qos = first_byte >> 1 & 3;
            Packet::Publish(Publish {
                topic: body.text(),
                packet_id: if qos == 0 { 0 } else { body.number(2) as u16 },
                properties: body.properties(),
                payload: body.0.to_vec(),
                qos,
                retain: first_byte & 1 != 0,
                dup: first_byte & 8 != 0,
            })
        }
        4 => Packet::PubAck { packet_id: body.number(2) as u16 },
        8 => {
            let packet_id = body.number(2) as u16;
            body.properties();
            let mut filters = Vec::new();
            while !body.0.is_empty() {
                filters.push((body.text(), body.number(1) as u8));
            }
            Packet::Subscribe { packet_id, filters }
        }
        12 => Packet::PingReq,
        14 => Packet::Disconnect { reason: body.0.first().copied().unwrap_or(0) },
        other => Packet::Other(other),
    }
}

fn parse_connect(mut body: Reader<'_>) -> Connect {
    assert_eq!(body.text(), "MQTT");
    assert_eq!(body.number(1), 5, "not MQTT 5");
    let flags = body.number(1);
    let keep_alive = body.number(2) as u16;
    let properties = body.properties();
    let client_id = body.text();
    let will = (flags & 0x04 != 0).then(|| {
        let delay = body.properties().number(WILL_DELAY).unwrap_or(0);
        (body.text(), body.bytes().to_vec(), delay)
    });
    let user = (flags & 0x80 != 0).then(|| body.text());
    let password = (flags & 0x40 != 0).then(|| body.text());
    Connect { client_id, clean_start: flags & 0x02 != 0, keep_alive, properties, will, user, password }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken
    }

    fn number(&mut self, n_bytes: usize) -> u32 {
        self.take(n_bytes).iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    fn variable(&mut self) -> usize {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.number(1);
            number |= (byte as usize & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = self.number(2) as usize;
        self.take(length)
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn properties(&mut self) -> Properties {
        let length = self.variable();
        let mut rest = Reader(self.take(length));
        let mut properties = Properties::default();
        while !rest.0.is_empty() {
            let id = rest.number(1) as u8;
            match id {
                1 | 23 | 25 | 36 | 37 | 40 | 41 | 42 => properties.numbers.push((id, rest.number(1))),
                19 | 33 | 34 | 35 => properties.numbers.push((id, rest.number(2))),
                2 | 17 | 24 | 39 => properties.numbers.push((id, rest.number(4))),
                11 => properties.numbers.push((id, rest.variable() as u32)),
                38 => {
                    let (key, _value) = (rest.bytes().to_vec(), rest.bytes());
                    properties.bytes.push((id, key));
                }
                _ => properties.bytes.push((id, rest.bytes().to_vec())),
            }
        }
        properties
    }
}

impl Properties {
    pub fn with_number(id: u8, number: u32) -> Self {
        Self { numbers: vec![(id, number)], ..Self::default() }
    }

    pub fn number(&self, id: u8) -> Option<u32> {
        self.numbers.iter().find(|it| it.0 == id).map(|it| it.1)
    }

    pub fn bytes(&self, id: u8) -> Option<&[u8]> {
        self.bytes.iter().find(|it| it.0 == id).map(|it| &it.1[..])
    }

    fn write(&self, packet: &mut Vec<u8>) {
        let mut written = Vec::new();
        for (id, number) in &self.numbers {
            written.push(*id);
            match id {
                19 | 33 | 34 | 35 => written.extend_from_slice(&(*number as u16).to_be_bytes()),
                2 | 17 | 24 | 39 => written.extend_from_slice(&number.to_be_bytes()),
                _ => written.push(*number as u8),
            }
        }
        for (id, bytes) in &self.bytes {
            written.push(*id);
            write_bytes(&mut written, bytes);
        }
        write_variable(packet, written.len());
        packet.extend_from_slice(&written);
    }
}

fn write_bytes(packet: &mut Vec<u8>, bytes: &[u8]) {
    packet.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    packet.extend_from_slice(bytes);
}

fn write_variable(packet: &mut Vec<u8>, mut number: usize) {
    loop {
        let byte = (number % 128) as u8;
        number /= 128;
        packet.push(if number == 0 { byte } else { byte | 0x80 });
        if number == 0 {
            return;
        }
    }
}
