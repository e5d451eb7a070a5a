# shellcheck shell=bash
# The configuration files of a Kafka broker. Sourced after env.sh and process.sh by dev/kafka; the instance's server.env
# has been read: BROKERS, CLUSTER_ID, PORT_n (clients), PORT_n_CONTROLLER; with --tls PORT_n_SSL, PORT_n_SASL_SSL,
# PORT_n_SASL_PLAINTEXT, PORT_n_OIDC and PORT_TOKEN.

USERS=(alice bob) # of every SASL mechanism; the password of each is NAME-secret

# has_tls DIR: was this cluster made with --tls?
has_tls() { grep -qxF tls "$1/settings"; }

# listeners_of DIR: the listeners for clients, with the protocol of each. PLAINTEXT is that of the brokers among themselves.
listeners_of() {
    echo PLAINTEXT:PLAINTEXT
    ! has_tls "$1" || printf '%s\n' SSL:SSL SASL_SSL:SASL_SSL SASL_PLAINTEXT:SASL_PLAINTEXT OIDC:SASL_SSL
}

# port_of BROKER LISTENER: a port of server.env.
port_of() {
    local name=PORT_$1_$2
    printf '%s' "${!name}"
}

# bootstrap_servers LISTENER: host:port of every broker, for clients.
bootstrap_servers() {
    local broker list=()
    for ((broker = 1; broker <= BROKERS; broker++)); do list+=("127.0.0.1:$(port_of "$broker" "$1")"); done
    (IFS=, && printf '%s' "${list[*]}")
}

# write_broker_config DIR BROKER: server.properties and log4j2.properties of one broker of the instance in DIR. Later
# lines win, so the settings of the instance override everything.
write_broker_config() {
    local dir=$1 broker=$2 here=$1/$2 replicas=$BROKERS other listener voters=() listeners=() protocols=()
    for ((other = 1; other <= BROKERS; other++)); do voters+=("$other@127.0.0.1:$(port_of "$other" CONTROLLER)"); done
    while read -r listener; do
        protocols+=("$listener")
        listener=${listener%%:*}
        listeners+=("$listener://127.0.0.1:$(port_of "$broker" "$listener")")
    done < <(listeners_of "$dir")
    {
        # The list of voters is in this file, not in the metadata log: all ports can be changed while the brokers are down.
        printf '%s\n' process.roles=broker,controller "node.id=$broker" \
            "controller.quorum.voters=$(joined "${voters[@]}")" \
            "listeners=$(joined "${listeners[@]}"),CONTROLLER://127.0.0.1:$(port_of "$broker" CONTROLLER)" \
            "advertised.listeners=$(joined "${listeners[@]}")" \
            controller.listener.names=CONTROLLER inter.broker.listener.name=PLAINTEXT \
            "listener.security.protocol.map=$(joined "${protocols[@]}"),CONTROLLER:PLAINTEXT" \
            "log.dirs=$here/data"
        ! has_tls "$dir" || security_config "$dir"
        printf '%s\n' auto.create.topics.enable=false num.partitions=1 \
            "default.replication.factor=$replicas" "min.insync.replicas=$((replicas / 2 + 1))" \
            offsets.topic.num.partitions=3 "offsets.topic.replication.factor=$replicas" \
            transaction.state.log.num.partitions=3 "transaction.state.log.replication.factor=$replicas" \
            "transaction.state.log.min.isr=$((replicas / 2 + 1))" \
            share.coordinator.state.topic.num.partitions=3 "share.coordinator.state.topic.replication.factor=$replicas" \
            "share.coordinator.state.topic.min.isr=$((replicas / 2 + 1))" \
            group.initial.rebalance.delay.ms=0 log.cleaner.dedupe.buffer.size=8388608 \
            log.retention.check.interval.ms=1000
        # After kill -9 a broker is refused until its old session has expired; with three, the session must outlast a pause
        # of a machine that is busy.
        if [ "$BROKERS" = 1 ]; then
            printf '%s\n' broker.session.timeout.ms=3000 broker.heartbeat.interval.ms=500
        else
            printf '%s\n' broker.session.timeout.ms=6000 broker.heartbeat.interval.ms=1000
        fi
        sed -n 's/^set //p' "$dir/settings"
    } >"$here/server.properties"
    # The values of all settings, at each start, are 2,000 lines.
    printf '%s\n' appender.out.type=Console appender.out.name=OUT appender.out.layout.type=PatternLayout \
        'appender.out.layout.pattern=%d{ISO8601} %-5p [%t] %m (%c{1})%n' rootLogger.level=INFO rootLogger.appenderRef.out.ref=OUT \
        logger.config.name=org.apache.kafka.common.config logger.config.level=WARN \
        logger.clients.name=org.apache.kafka.clients logger.clients.level=WARN >"$here/log4j2.properties"
}

# joined WORD...: with commas.
joined() { (IFS=, && printf '%s' "$*"); }

# security_config DIR: the lines of server.properties for TLS and SASL. Two listeners take OAUTHBEARER, since a listener
# checks tokens in one way: SASL_SSL unsigned ones, as clients make for themselves, OIDC those of the token endpoint.
security_config() {
    local tls=$1/tls modules=org.apache.kafka.common.security listener user plain=
    for user in "${USERS[@]}"; do plain+=" user_$user=\"$user-secret\""; done
    printf '%s\n' ssl.keystore.type=PEM "ssl.keystore.location=$tls/broker-full.pem" \
        ssl.truststore.type=PEM "ssl.truststore.location=$tls/ca.pem" listener.name.ssl.ssl.client.auth=required
    for listener in sasl_ssl sasl_plaintext; do
        printf "listener.name.$listener.%s\n" \
            "scram-sha-256.sasl.jaas.config=$modules.scram.ScramLoginModule required;" \
            "scram-sha-512.sasl.jaas.config=$modules.scram.ScramLoginModule required;" \
            "plain.sasl.jaas.config=$modules.plain.PlainLoginModule required$plain;"
    done
    printf '%s\n' listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512 \
        listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER \
        "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=$modules.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"
    printf 'listener.name.oidc.%s\n' sasl.enabled.mechanisms=OAUTHBEARER \
        "oauthbearer.sasl.jaas.config=$modules.oauthbearer.OAuthBearerLoginModule required;" \
        "oauthbearer.sasl.server.callback.handler.class=$modules.oauthbearer.OAuthBearerValidatorCallbackHandler" \
        "sasl.oauthbearer.jwks.endpoint.url=file://$1/token/jwks.json" \
        "sasl.oauthbearer.expected.issuer=$(token_issuer)" sasl.oauthbearer.expected.audience=kafka
}

# token_issuer: who the tokens say has made them; the endpoint is /token below it.
token_issuer() { printf 'http://127.0.0.1:%s' "$PORT_TOKEN"; }

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
