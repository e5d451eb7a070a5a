# shellcheck shell=bash
# Artifacts of Maven's repository, fetched by Apache Maven itself. Sourced after env.sh.
#
# Maven rather than a downloader of ours: it honours what the user has configured for it (mirrors, proxies, passwords in
# ~/.m2/settings.xml), retries, and is in every distribution. What arrives is compared with the sums kept here. Its
# own repository folder is a temporary one in the cache; nothing is written to ~/.m2.

# maven WORK ARGUMENT...: runs Maven with its repository in WORK; its output is shown if it fails.
maven() {
    local work=$1 java
    shift
    "$REPO/dev/tools" maven >/dev/null || return
    java=$("$REPO/dev/tools" java) || return
    mkdir -p "$work"
    JAVA_HOME=$java mvn -B -ntp -Dmaven.repo.local="$work/repository" -Daether.connector.http.retryHandler.count=5 "$@" \
        >"$work/log" 2>&1 || {
        grep '^\[ERROR\]' "$work/log" | head -n 12 >&2
        return 1
    }
}

# maven_jars DIR SUMS COORDINATE...: puts the jars of the artifacts (group:artifact:version) and of all they need at run
# time into DIR, complete and with the sums of the file SUMS, or not at all.
maven_jars() {
    local dir=$1 sums=$2 work=$1.partial coordinate group artifact version
    shift 2
    rm -rf "$work"
    mkdir -p "$work"
    {
        echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        echo '<groupId>local</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
        for coordinate; do
            IFS=: read -r group artifact version <<<"$coordinate"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$work/pom.xml"
    maven "$work" -f "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$work/jars" ||
        die 3 "Maven could not fetch $*" "check the network, and the mirrors in ~/.m2/settings.xml if there are any" \
            "the whole log: $work/log"
    maven_expect "$work/jars" "$sums"
    rm -rf "$dir"
    mv "$work/jars" "$dir"
    rm -rf "$work"
}

# maven_expect FOLDER SUMS: are the files of FOLDER those of the list, no more and no others?
maven_expect() {
    local folder=$1 sums=$2
    (cd "$folder" && sha256sum -- *) | LC_ALL=C sort -k 2 | diff "$sums" - >"$folder.difference" || {
        cat "$folder.difference" >&2
        die 3 "what Maven fetched is not what was expected (< expected, > fetched)" \
            "the sums are in $sums; a mirror that changes files cannot be used"
    }
    rm -f "$folder.difference"
}

# maven_file WORK SUM GROUP ARTIFACT VERSION TYPE: fetches one artifact into the folder WORK, which the caller removes, and
# prints the path of the file there.
maven_file() {
    local work=$1 sum=$2 group=$3 artifact=$4 version=$5 type=$6 file
    maven "$work" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get -Dtransitive=false \
        "-Dartifact=$group:$artifact:$version:$type" ||
        die 3 "Maven could not fetch $group:$artifact:$version" \
            "check the network, and the mirrors in ~/.m2/settings.xml if there are any" "the whole log: $work/log"
    file=$work/repository/${group//.//}/$artifact/$version/$artifact-$version.$type
    [ "$(sha256sum <"$file")" = "$sum  -" ] || die 3 "$artifact-$version.$type is not what was expected" \
        "its SHA-256 should be $sum; a mirror that changes files cannot be used"
    printf '%s' "$file"
}
