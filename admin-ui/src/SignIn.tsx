import { PasswordInput, TextInput } from "@mantine/core"
import { useMutation } from "@tanstack/react-query"
import { api, signIn } from "./api"
import { Entry } from "./Entry"

export function SignIn({ title, notice }: { title: string; notice?: string }) {
  const mutation = useMutation({
    mutationFn: (form: FormData) => signIn(String(form.get("email")), String(form.get("password"))),
  })
  return (
    <Entry title={title} action="Sign in" mutation={mutation} notice={notice}>
      <TextInput name="email" type="email" label="E-mail" autoComplete="username" required />
      <PasswordInput name="password" label="Password" autoComplete="current-password" required />
    </Entry>
  )
}

/** Asks somebody who came by an e-mail's link for a new password. */
export function NewPassword({ onDone }: { onDone: () => void }) {
  const mutation = useMutation({
    mutationFn: (form: FormData) =>
      api("/auth/v1/user", { method: "PUT", body: { password: String(form.get("password")) } }),
    onSuccess: onDone,
  })
  return (
    <Entry title="Choose your password" action="Save and go on" mutation={mutation}>
      <PasswordInput
        name="password"
        label="New password"
        description="8 characters or more"
        autoComplete="new-password"
        minLength={8}
        required
      />
    </Entry>
  )
}
