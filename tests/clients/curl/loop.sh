#!/usr/bin/env bash
# curl prints a stream and knows nothing of events: what EventSource does besides is this loop. Usage: loop.sh URL [OPTION OF CURL...]
set -u
url=$1
shift
id='' retry_ms=3000
quoted() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"} text=${text//$'\t'/\\t}
  printf '"%s"' "${text//$'\n'/\\n}"
}
# As long as whoever started it is there.
while kill -0 "$PPID" 2>/dev/null; do
  type='' data='' has_data='' next_id=$id
  while IFS= read -r line; do
    field=${line%%:*} value=${line#"${line%%:*}"}
    value=${value#:} value=${value# }
    case $line in
      '')
        id=$next_id
        [ -z "$has_data" ] || printf '{"id":%s,"type":%s,"data":%s}\n' "$(quoted "$id")" "$(quoted "${type:-message}")" "$(quoted "${data%$'\n'}")"
        type='' data='' has_data=''
        ;;
      :*) ;;
      *)
        case $field in
          event) type=$value ;;
          id) next_id=$value ;;
          data) data+=$value$'\n' has_data=1 ;;
          retry) retry_ms=$value ;;
        esac
        ;;
    esac
  done < <(exec curl --silent --show-error --fail --no-buffer "$@" ${id:+--header "Last-Event-ID: $id"} "$url")
  sleep "$((retry_ms / 1000)).$(printf %03d $((retry_ms % 1000)))"
done
