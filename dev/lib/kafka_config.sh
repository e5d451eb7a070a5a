# shellcheck shell=bash
# The configuration files of a Kafka broker. Sourced after env.sh and process.sh by dev/kafka; the instance's server.env
# has been read: BROKERS, CLUSTER_ID, PORT_n (clients), PORT_n_CONTROLLER.

# port_of BROKER [WHAT]: a port of server.env.
port_of() {
    local name=PORT_$1${2:+_$2}
    printf '%s' "${!name}"
}

# bootstrap_servers [WHAT]: host:port of every broker, for clients.
bootstrap_servers() {
    local broker list=()
    for ((broker = 1; broker <= BROKERS; broker++)); do list+=("127.0.0.1:$(port_of "$broker" "${1:-}")"); done
    (IFS=, && printf '%s' "${list[*]}")
}

# write_broker_config DIR BROKER: server.properties and log4j2.properties of one broker of the instance in DIR. Later
# lines win, so the settings of the instance override everything.
write_broker_config() {
    local dir=$1 broker=$2 voters=() other here=$1/$2 replicas=$BROKERS
    for ((other = 1; other <= BROKERS; other++)); do voters+=("$other@127.0.0.1:$(port_of "$other" CONTROLLER)"); done
    {
        # The list of voters is in this file, not in the metadata log: all ports can be changed while the brokers are down.
        printf '%s\n' process.roles=broker,controller "node.id=$broker" \
            "controller.quorum.voters=$(IFS=, && printf '%s' "${voters[*]}")" \
            "listeners=PLAINTEXT://127.0.0.1:$(port_of "$broker"),CONTROLLER://127.0.0.1:$(port_of "$broker" CONTROLLER)" \
            "advertised.listeners=PLAINTEXT://127.0.0.1:$(port_of "$broker")" \
            controller.listener.names=CONTROLLER inter.broker.listener.name=PLAINTEXT \
            listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT \
            "log.dirs=$here/data"
        printf '%s\n' auto.create.topics.enable=false num.partitions=1 \
            "default.replication.factor=$replicas" "min.insync.replicas=$((replicas / 2 + 1))" \
            offsets.topic.num.partitions=3 "offsets.topic.replication.factor=$replicas" \
            transaction.state.log.num.partitions=3 "transaction.state.log.replication.factor=$replicas" \
            "transaction.state.log.min.isr=$((replicas / 2 + 1))" \
            share.coordinator.state.topic.num.partitions=3 "share.coordinator.state.topic.replication.factor=$replicas" \
            "share.coordinator.state.topic.min.isr=$((replicas / 2 + 1))" \
            group.initial.rebalance.delay.ms=0 log.cleaner.dedupe.buffer.size=8388608
        # After kill -9 a broker is refused until its old session has expired; with three, the session must outlast a pause
        # of a machine that is busy.
        if [ "$BROKERS" = 1 ]; then
            printf '%s\n' broker.session.timeout.ms=3000 broker.heartbeat.interval.ms=500
        else
            printf '%s\n' broker.session.timeout.ms=6000 broker.heartbeat.interval.ms=1000
        fi
        sed '1,2d' "$dir/settings"
    } >"$here/server.properties"
    # The values of all settings, at each start, are 2,000 lines.
    printf '%s\n' appender.out.type=Console appender.out.name=OUT appender.out.layout.type=PatternLayout \
        'appender.out.layout.pattern=%d{ISO8601} %-5p [%t] %m (%c{1})%n' rootLogger.level=INFO rootLogger.appenderRef.out.ref=OUT \
        logger.config.name=org.apache.kafka.common.config logger.config.level=WARN \
        logger.clients.name=org.apache.kafka.clients logger.clients.level=WARN >"$here/log4j2.properties"
}

# write_meta DIR BROKER: the identity of a data folder, which Kafka's formatter would write.
write_meta() {
    printf '%s\n' version=1 "cluster.id=$CLUSTER_ID" "node.id=$2" "directory.id=$(random_id)" >"$1/$2/data/meta.properties"
}

# random_id: a UUID as Kafka writes it: 16 bytes in base64url, not beginning with "-".
random_id() {
    local id=-
    while [[ $id = -* ]]; do id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'); done
    printf '%s' "$id"
}
