package manifests

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	protobuf "google.golang.org/protobuf/proto"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/openapi/openapitest"
	"k8s.io/kube-openapi/pkg/util/proto"
	"k8s.io/kube-openapi/pkg/util/proto/validation"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi/kubernetesapi"
)

// An object is one of a cluster's, as kustomize makes it and as the cluster's Go types hold it.
type object struct {
	name  string // "Deployment shop/shop"
	tree  map[string]any
	typed runtime.Object
}

// build runs kustomize on a folder and decodes what comes out. A field that the type of Kubernetes 1.37 has not, and a value
// that it does not take, is an error.
func build(dir string) ([]object, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), absolute)
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w", dir, err)
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []object
	for _, r := range made.Resources() {
		o := object{name: strings.TrimSpace(r.GetKind() + " " + strings.TrimPrefix(r.GetNamespace()+"/"+r.GetName(), "/"))}
		b, err := r.MarshalJSON()
		if err == nil {
			err = json.Unmarshal(b, &o.tree)
		}
		if err == nil {
			o.typed, _, err = decoder.Decode(b, nil, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.name, err)
		}
		all = append(all, o)
	}
	return all, nil
}

// A schema is the OpenAPI documents of one version of Kubernetes, whole or in part.
type schema struct {
	name   string
	models []proto.Models
}

// schemas are those of an old version, which every cluster of today understands, and of the newest one, for the kinds
// that its document is at hand for.
func schemas(t *testing.T) []schema {
	t.Helper()
	version := kubernetesapi.DefaultOpenAPI // which is the one that kustomize brings, whole
	var old openapi_v2.Document
	if err := protobuf.Unmarshal(kubernetesapi.OpenAPIMustAsset[version]("kubernetesapi/"+strings.ReplaceAll(version, ".", "_")+"/swagger.pb"), &old); err != nil {
		t.Fatal(err)
	}
	models, err := proto.NewOpenAPIData(&old)
	if err != nil {
		t.Fatal(err)
	}
	all := []schema{{name: "the OpenAPI document of Kubernetes " + version, models: []proto.Models{models}}}
	newest := schema{name: "the newest OpenAPI document"}
	paths, err := openapitest.NewEmbeddedFileClient().Paths()
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{"api/v1", "apis/apps/v1"} {
		b, err := paths[group].Schema("application/json")
		if err != nil {
			t.Fatal(err)
		}
		models, err := modelsV3(b)
		if err != nil {
			t.Fatal(err)
		}
		newest.models = append(newest.models, models)
	}
	return append(all, newest)
}

// modelsV3 reads a document of OpenAPI 3. The reader of such documents takes anything where a schema is a reference with a
// default beside it, which is nearly everywhere, so it is read as one of version 2, which has the same in other words.
func modelsV3(b []byte) (proto.Models, error) {
	var doc struct {
		Info       any
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	var asV2 func(v any) any
	asV2 = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = asV2(v[i])
			}
		case map[string]any:
			if all, ok := v["allOf"].([]any); ok && len(all) == 1 {
				return asV2(all[0])
			}
			if ref, ok := v["$ref"].(string); ok {
				v["$ref"] = strings.Replace(ref, "#/components/schemas/", "#/definitions/", 1)
			}
			if _, ok := v["oneOf"]; ok { // an integer or a string, a quantity
				delete(v, "oneOf")
				v["type"] = "string"
			}
			for k := range v {
				v[k] = asV2(v[k])
			}
		}
		return v
	}
	b, err := json.Marshal(map[string]any{"swagger": "2.0", "info": doc.Info, "paths": map[string]any{}, "definitions": asV2(doc.Components.Schemas)})
	if err != nil {
		return nil, err
	}
	v2, err := openapi_v2.ParseDocument(b)
	if err != nil {
		return nil, err
	}
	return proto.NewOpenAPIData(v2)
}

// find returns the model of a kind, or nil.
func (s schema) find(apiVersion, kind string) proto.Schema {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	for _, models := range s.models {
		for _, name := range models.ListModels() {
			model := models.LookupModel(name)
			kinds, _ := model.GetExtensions()["x-kubernetes-group-version-kind"].([]any)
			for _, k := range kinds {
				if fmt.Sprint(field(k, "group"), field(k, "version"), field(k, "kind")) == fmt.Sprint(group, version, kind) {
					return model
				}
			}
		}
	}
	return nil
}

// field returns a field of a map, whichever its keys are.
func field(m any, name string) any {
	switch m := m.(type) {
	case map[string]any:
		return m[name]
	case map[any]any:
		return m[name]
	}
	return nil
}

// validate says what of the objects is against the documents of Kubernetes. The first schema must know every kind.
func validate(schemas []schema, objects []object) error {
	var faults []error
	for _, o := range objects {
		apiVersion, kind := fmt.Sprint(o.tree["apiVersion"]), fmt.Sprint(o.tree["kind"])
		for n, s := range schemas {
			model := s.find(apiVersion, kind)
			if model == nil {
				if n == 0 {
					faults = append(faults, fmt.Errorf("%s: %s has no %s of %s", o.name, s.name, kind, apiVersion))
				}
				continue
			}
			for _, err := range validation.ValidateModel(o.tree, model, kind) {
				faults = append(faults, fmt.Errorf("%s, by %s: %w", o.name, s.name, err))
			}
		}
	}
	return errors.Join(faults...)
}

// A workload is what makes Pods.
type workload struct {
	object    object
	namespace string
	selector  *metav1.LabelSelector
	template  corev1.PodTemplateSpec
	claims    []corev1.PersistentVolumeClaim
}

func workloads(objects []object) []workload {
	var all []workload
	for _, o := range objects {
		switch w := o.typed.(type) {
		case *appsv1.Deployment:
			all = append(all, workload{o, w.Namespace, w.Spec.Selector, w.Spec.Template, nil})
		case *appsv1.DaemonSet:
			all = append(all, workload{o, w.Namespace, w.Spec.Selector, w.Spec.Template, nil})
		case *appsv1.StatefulSet:
			all = append(all, workload{o, w.Namespace, w.Spec.Selector, w.Spec.Template, w.Spec.VolumeClaimTemplates})
		}
	}
	return all
}

// connect says which objects refer to what is not there. No schema sees that, and a cluster says it only once the Pods do
// not start. secrets are made by hand, since they hold keys.
func connect(objects []object, secrets ...string) error {
	var faults []error
	fault := func(o object, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", o.name, fmt.Errorf(format, args...)))
	}
	there := map[string]bool{}
	for _, o := range objects {
		if there[o.name] {
			fault(o, "it is there twice")
		}
		there[o.name] = true
	}
	for _, w := range workloads(objects) {
		o, pod := w.object, w.template.Spec
		selector, err := metav1.LabelSelectorAsSelector(w.selector)
		if err != nil || selector.Empty() || !selector.Matches(labels.Set(w.template.Labels)) {
			fault(o, "its selector does not match the labels of its Pods")
		}
		if pod.ServiceAccountName != "" && !there["ServiceAccount "+w.namespace+"/"+pod.ServiceAccountName] {
			fault(o, "there is no service account %s", pod.ServiceAccountName)
		}
		volumes := map[string]bool{}
		for _, c := range w.claims {
			volumes[c.Name] = true
		}
		for _, v := range pod.Volumes {
			if volumes[v.Name] {
				fault(o, "the volume %s is there twice", v.Name)
			}
			volumes[v.Name] = true
			if v.ConfigMap != nil && !there["ConfigMap "+w.namespace+"/"+v.ConfigMap.Name] {
				fault(o, "there is no ConfigMap %s", v.ConfigMap.Name)
			}
			if v.Secret != nil && !slices.Contains(secrets, v.Secret.SecretName) {
				fault(o, "nobody makes the Secret %s", v.Secret.SecretName)
			}
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			mounted := map[string]bool{}
			for _, m := range c.VolumeMounts {
				if !volumes[m.Name] {
					fault(o, "the container %s mounts the volume %s, which is not there", c.Name, m.Name)
				}
				if mounted[m.MountPath] {
					fault(o, "the container %s mounts two volumes at %s", c.Name, m.MountPath)
				}
				mounted[m.MountPath] = true
			}
			for _, e := range c.EnvFrom {
				if e.SecretRef != nil && !slices.Contains(secrets, e.SecretRef.Name) {
					fault(o, "nobody makes the Secret %s", e.SecretRef.Name)
				}
			}
			for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
				if p != nil && p.HTTPGet != nil && !hasPort(c, p.HTTPGet.Port) {
					fault(o, "the container %s is probed at port %s, which it has not", c.Name, p.HTTPGet.Port.String())
				}
			}
			if strings.HasPrefix(c.Image, "saba") && !strings.Contains(c.Image, ":") {
				fault(o, "the image %s has no version", c.Image)
			}
		}
	}
	for _, o := range objects {
		switch v := o.typed.(type) {
		case *rbacv1.ClusterRoleBinding:
			if !there["ClusterRole "+v.RoleRef.Name] {
				fault(o, "there is no ClusterRole %s", v.RoleRef.Name)
			}
			for _, s := range v.Subjects {
				if !there[s.Kind+" "+s.Namespace+"/"+s.Name] {
					fault(o, "there is no %s %s/%s", s.Kind, s.Namespace, s.Name)
				}
			}
		case *corev1.Service:
			found := false
			for _, w := range workloads(objects) {
				if w.namespace != v.Namespace || !labels.SelectorFromSet(v.Spec.Selector).Matches(labels.Set(w.template.Labels)) {
					continue
				}
				found = true
				for _, p := range v.Spec.Ports {
					if !slices.ContainsFunc(w.template.Spec.Containers, func(c corev1.Container) bool { return hasPort(c, p.TargetPort) }) {
						fault(o, "no container of %s has the port %s", w.object.name, p.TargetPort.String())
					}
				}
			}
			if !found {
				fault(o, "it selects no Pods")
			}
		case *networkingv1.Ingress:
			for _, r := range v.Spec.Rules {
				for _, p := range r.HTTP.Paths {
					if !there["Service "+v.Namespace+"/"+p.Backend.Service.Name] {
						fault(o, "there is no Service %s", p.Backend.Service.Name)
					}
				}
			}
		}
	}
	return errors.Join(faults...)
}

func hasPort(c corev1.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
		return port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal
	})
}

// confine says what containers of ours may do that they need not: all of the strictest of the Pod Security Standards, a
// root file system that cannot be written, a limit of memory.
func confine(objects []object) error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	var faults []error
	for _, w := range workloads(objects) {
		pod := w.template.Spec.DeepCopy()
		pod.Containers = slices.DeleteFunc(pod.Containers, func(c corev1.Container) bool { return !strings.HasPrefix(c.Image, "saba") })
		for _, r := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &w.template.ObjectMeta, pod) {
			if !r.Allowed {
				faults = append(faults, fmt.Errorf("%s: %s: %s", w.object.name, r.ForbiddenReason, r.ForbiddenDetail))
			}
		}
		if len(pod.Containers) == 0 {
			faults = append(faults, fmt.Errorf("%s: no container is saba's", w.object.name))
		}
		for _, c := range pod.Containers {
			if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
				faults = append(faults, fmt.Errorf("%s: the container %s can write to its root file system", w.object.name, c.Name))
			}
			if c.Resources.Limits.Memory().IsZero() {
				faults = append(faults, fmt.Errorf("%s: the container %s may take all memory", w.object.name, c.Name))
			}
		}
	}
	return errors.Join(faults...)
}
