//! The harness itself: a broker that can be killed and comes back with its data.

use crate::harness::Broker;

#[test]
fn a_killed_broker_comes_back_on_its_port() {
    let Some(broker) = Broker::start() else { return };
    let address = broker.address().to_owned();
    broker.kill();
    assert!(std::net::TcpStream::connect(&address).is_err(), "{address} still answers");
    broker.start_again();
    broker.restart();
    assert!(std::net::TcpStream::connect(&address).is_ok(), "{address} does not answer");
}
