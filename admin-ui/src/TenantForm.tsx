import { Button, NativeSelect, SimpleGrid, Stack, TextInput } from "@mantine/core"
import { useMutation } from "@tanstack/react-query"
import { type FormEvent, type ReactNode, useRef } from "react"
import { api, Problem } from "./api"
import { Failure } from "./Result"

export type NewTenant = Record<string, string | boolean>

const phone = { type: "tel", placeholder: "+18573825169" }

const industries = [
  { value: "hvac", label: "HVAC" },
  { value: "plumbing", label: "Plumbing" },
  { value: "electrical", label: "Electrical" },
  { value: "dental", label: "Dental" },
  { value: "generic", label: "Something else" },
]

const plans = [
  { value: "starter", label: "Starter" },
  { value: "professional", label: "Professional" },
  { value: "premium", label: "Premium" },
  { value: "enterprise", label: "Enterprise" },
]

/** The form's filled-in fields; what is left empty is not sent, so that the server's defaults hold. */
export function filledIn(form: FormData): NewTenant {
  const tenant: NewTenant = {}
  for (const [name, value] of form) {
    const text = String(value).trim()
    if (text) tenant[name] = text === "on" ? true : text
  }
  return tenant
}

/**
 * Asks for a company and posts it to path. One Idempotency-Key lasts until the server has answered, so that sending
 * again after a lost connection creates one tenant.
 */
export function TenantForm<T>(props: {
  path: string
  action: string
  onDone: (answer: T) => void
  children?: ReactNode
}) {
  const key = useRef(crypto.randomUUID())
  const mutation = useMutation({
    mutationFn: (body: NewTenant) =>
      api<T>(props.path, { body, headers: { "Idempotency-Key": key.current } }),
    onSuccess: props.onDone,
    onError: (error) => {
      if (error instanceof Problem) key.current = crypto.randomUUID()
    },
  })
  const wrong = mutation.error instanceof Problem ? mutation.error.fields : {}
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    mutation.mutate(filledIn(new FormData(event.currentTarget)))
  }
  return (
    <form onSubmit={submit}>
      <Stack>
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <TextInput
            name="company_name"
            label="Company"
            autoComplete="organization"
            maxLength={120}
            error={wrong.company_name}
            required
          />
          <TextInput
            name="slug"
            label="Subdomain"
            description="Left empty, it is made from the company’s name"
            inputWrapperOrder={["label", "input", "description", "error"]}
            pattern="[a-z0-9](?:[a-z0-9]|-){1,38}[a-z0-9]"
            title="3 to 40 lower-case letters, digits and hyphens"
            autoCapitalize="none"
            error={wrong.slug}
          />
          <TextInput
            name="owner_name"
            label="Owner’s name"
            autoComplete="name"
            maxLength={120}
            error={wrong.owner_name}
            required
          />
          <TextInput
            name="owner_email"
            label="Owner’s e-mail"
            type="email"
            autoComplete="email"
            error={wrong.owner_email}
            required
          />
          <TextInput
            name="owner_phone"
            label="Owner’s phone"
            autoComplete="tel"
            error={wrong.owner_phone}
            {...phone}
          />
          <TextInput
            name="forward_to_number"
            label="Hand calls over to"
            error={wrong.forward_to_number}
            {...phone}
          />
          <NativeSelect name="industry" label="Industry" data={industries} error={wrong.industry} />
          <NativeSelect name="plan_tier" label="Plan" data={plans} error={wrong.plan_tier} />
        </SimpleGrid>
        {props.children}
        {mutation.isError && <Failure error={mutation.error} />}
        <Button type="submit" loading={mutation.isPending}>
          {props.action}
        </Button>
      </Stack>
    </form>
  )
}
