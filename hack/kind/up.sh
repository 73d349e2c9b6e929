#!/usr/bin/env bash
# Brings up kind with KubeVirt, CDI, the hostpath CSI driver with snapshots, an S3 server and Safehold. Can be run again.
# Needs: docker, kind, kubectl, helm, git, curl, and a network that reaches their registries. See README.md beside this file.
set -euo pipefail
cd "$(dirname "$0")/../.."

KUBEVIRT=${KUBEVIRT:-v1.9.0}
CDI=${CDI:-v1.66.0}
SNAPSHOTTER=${SNAPSHOTTER:-v8.6.0}
HOSTPATH=${HOSTPATH:-v1.18.0}
SEAWEEDFS=${SEAWEEDFS:-4.48}
IMAGE=${IMAGE:-safehold:dev}

say() { printf '\n== %s\n' "$*"; }

for tool in docker kind kubectl helm git curl; do
  command -v "$tool" >/dev/null || { echo "This script needs '$tool' on PATH." >&2; exit 1; }
done

say "kind cluster"
kind get clusters | grep -qx safehold || kind create cluster --config hack/kind/cluster.yaml
kubectl config use-context kind-safehold

say "CSI snapshots $SNAPSHOTTER and the hostpath driver $HOSTPATH"
snapshots="https://github.com/kubernetes-csi/external-snapshotter"
kubectl apply -k "$snapshots/client/config/crd?ref=$SNAPSHOTTER"
kubectl apply -k "$snapshots/deploy/kubernetes/snapshot-controller?ref=$SNAPSHOTTER"
sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
git clone --quiet --depth 1 --branch "$HOSTPATH" https://github.com/kubernetes-csi/csi-driver-host-path "$sources/hostpath"
"$sources/hostpath/deploy/kubernetes-latest/deploy.sh"
kubectl apply -f "$sources/hostpath/examples/csi-storageclass.yaml"

say "KubeVirt $KUBEVIRT"
kubectl apply -f "https://github.com/kubevirt/kubevirt/releases/download/$KUBEVIRT/kubevirt-operator.yaml"
kubectl apply -f "https://github.com/kubevirt/kubevirt/releases/download/$KUBEVIRT/kubevirt-cr.yaml"
if ! docker exec safehold-control-plane test -e /dev/kvm; then
  kubectl -n kubevirt patch kubevirt kubevirt --type merge \
    -p '{"spec":{"configuration":{"developerConfiguration":{"useEmulation":true}}}}'
fi

say "CDI $CDI"
kubectl apply -f "https://github.com/kubevirt/containerized-data-importer/releases/download/$CDI/cdi-operator.yaml"
kubectl apply -f "https://github.com/kubevirt/containerized-data-importer/releases/download/$CDI/cdi-cr.yaml"

say "S3: SeaweedFS $SEAWEEDFS"
sed "s/SEAWEEDFS_VERSION/$SEAWEEDFS/" hack/kind/s3.yaml | kubectl apply -f -

say "waiting until all of them are ready"
kubectl -n kubevirt wait kubevirt kubevirt --for condition=Available --timeout=15m
kubectl wait cdi cdi --for condition=Available --timeout=10m
kubectl -n s3 rollout status deployment/seaweedfs --timeout=5m

say "Safehold"
docker build --tag "$IMAGE" .
kind load docker-image "$IMAGE" --name safehold
helm upgrade --install safehold charts/safehold --namespace safehold --create-namespace --wait \
  --set image.repository="${IMAGE%%:*}" --set image.tag="${IMAGE##*:}" --set image.pullPolicy=Never

cat <<'NEXT'

Ready. The S3 endpoint inside the cluster is http://seaweedfs.s3.svc:8333, access key "safehold", secret key "safehold-secret",
bucket "backups". docs/quickstart.md goes on from here; `kind delete cluster --name safehold` removes everything.
NEXT
