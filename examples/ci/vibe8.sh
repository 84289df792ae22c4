#!/bin/sh
# Measure a checkout with vibe8's HTTP service, in a CI job that has sh, curl and git.
#
#     VIBE8_URL=https://vibe8.example.org VIBE8_KEY=v8_... sh vibe8.sh sarif=vibe8.sarif
#
# Uploads the files of the newest commit, waits for the job, writes the result in each form that is named (FORM=FILE,
# with the forms of docs/exports.md), and ends as the quality gate says.
#
#     VIBE8_PROJECT      a name for the project; the directory's name if not set
#     VIBE8_REPOSITORY   an https address that the service clones, instead of an upload; VIBE8_BRANCH: its branch
#     VIBE8_PIN=1        later runs of the project are compared with this one, unless it was rejected; set it on the
#                        main branch (the key needs the permission `manage`)
#     VIBE8_TIMEOUT      seconds to wait for the job; 1800 if not set
#
# Exit codes: 0 not rejected, 1 the job failed or did not end in time, 2 bad usage or input, 3 the service cannot be
# reached, 4 rejected, 130 interrupted (the job is cancelled).
set -eu

API=/api/v1
TIMEOUT=${VIBE8_TIMEOUT:-1800}

fail() {
    printf 'vibe8: %s\n' "$2" >&2
    exit "$1"
}

# Print the text of a field of a JSON document of the service; nothing where the field is null. A quote within a text
# has a backslash there, so no text can look like a field.
field() {
    sed -nE 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p' "$2"
}

# Print a text as it stands between the quotes of JSON.
escaped() {
    printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g'
}

# request METHOD PATH FILE [OPTION...]: send a request and write the answer into the file. curl reads the key from
# standard input, since other users of the machine may see its command line. It tries again while the service is away.
request() {
    method=$1 path=$2 file=$3
    shift 3
    status=$(printf 'header = "Authorization: Bearer %s"\n' "$VIBE8_KEY" |
        curl --config - --silent --show-error --request "$method" --max-time 300 \
            --retry 4 --retry-connrefused --retry-max-time 120 \
            --output "$file" --write-out '%{http_code}' "$@" "${VIBE8_URL%/}$API$path") ||
        fail 3 "$VIBE8_URL cannot be reached"
    case $status in
    2??) ;;
    5??) fail 3 "$method $path was answered $status: $(field detail "$file")" ;;
    *) fail 2 "$method $path was answered $status: $(field detail "$file")" ;;
    esac
}

submit() {
    number=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n') # a request that is sent again makes no second job
    if [ -n "${VIBE8_REPOSITORY:-}" ]; then
        branch=null
        [ -z "${VIBE8_BRANCH:-}" ] || branch="\"$(escaped "$VIBE8_BRANCH")\""
        printf '{"repository":{"url":"%s","branch":%s},"project_name":"%s"}' \
            "$(escaped "$VIBE8_REPOSITORY")" "$branch" "$(escaped "$PROJECT")" >"$work/body"
        request POST /jobs "$work/job" --header "Idempotency-Key: $number" \
            --header 'Content-Type: application/json' --data-binary "@$work/body"
    else
        git archive --format=zip --output "$work/checkout.zip" HEAD || fail 2 'there is no git commit to upload here'
        request POST /jobs "$work/job" --header "Idempotency-Key: $number" \
            --form "file=@$work/checkout.zip" --form-string "project_name=$PROJECT"
    fi
}

wait_for_end() {
    waited=0 pause=1
    while :; do
        request GET "/jobs/$job" "$work/job"
        case $(field status "$work/job") in
        completed) return ;;
        failed) fail 1 "job $job failed: $(field error_message "$work/job")" ;;
        esac
        [ "$waited" -lt "$TIMEOUT" ] || fail 1 "job $job has not ended after $TIMEOUT s (VIBE8_TIMEOUT)"
        sleep "$pause" & # a signal ends `wait`, and would not end the sleep
        wait "$!"
        waited=$((waited + pause))
        [ "$pause" -ge 10 ] || pause=$((pause + 1))
    done
}

cancel() {
    trap '' INT TERM
    [ -z "$job" ] || request DELETE "/jobs/$job" "$work/job"
    fail 130 'interrupted'
}

[ -n "${VIBE8_URL:-}" ] || fail 2 'set VIBE8_URL to the address of the service, such as https://vibe8.example.org'
[ -n "${VIBE8_KEY:-}" ] || fail 2 'set VIBE8_KEY to an API key: vibe8 keys create --name ci'
for export in "$@"; do
    case $export in
    ?*=?*) ;;
    *) fail 2 "$export is no FORM=FILE, such as sarif=vibe8.sarif" ;;
    esac
done
PROJECT=${VIBE8_PROJECT:-$(basename "$PWD")}
job=''
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap cancel INT TERM

submit
job=$(field job_id "$work/job")
printf 'vibe8: job %s\n' "$job"
wait_for_end
run=$(field result_run_id "$work/job")
job=''

for export in "$@"; do
    request GET "/runs/$run/export?format=${export%%=*}" "$work/export"
    mv "$work/export" "${export#*=}"
done
request GET "/runs/$run/summary" "$work/summary"
verdict=$(field review_verdict "$work/summary")
printf 'vibe8: %s, report at %s/runs/%s\n' "$verdict" "${VIBE8_URL%/}" "$run"
if [ "$verdict" = REJECTED ]; then
    request GET "/runs/$run/export?format=markdown" "$work/report"
    sed 60q "$work/report"
    fail 4 'the quality gate rejects this commit'
fi
[ "${VIBE8_PIN:-}" != 1 ] || request POST "/runs/$run/pin" "$work/pin"
